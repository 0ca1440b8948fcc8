// SPDX-License-Identifier: Apache-2.0
//
// Trees of forks, of any shape, whose outcome is known: a seed says what each node does.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "skua/join.h"
#include "skua/task.h"

namespace skua::test {

// A node is a leaf or forks one to four children, in any of the four forms. A leaf gives a value or throws, and may
// suspend before; some children of when_all_n cannot even be made. Frames must end from the innermost outwards, each
// one once.
class RandomTree {
 public:
  RandomTree(std::uint64_t seed, int depth) : seed_(seed), depth_(depth) {}
  RandomTree(const RandomTree&) = delete;
  RandomTree& operator=(const RandomTree&) = delete;
  virtual ~RandomTree() { EXPECT_EQ(live(), 0) << "frames that never ended"; }

  struct Outcome {
    std::int64_t value = 0;
    std::optional<std::uint64_t> error;  // What is thrown, by the seed of the node that throws.

    bool operator==(const Outcome&) const = default;
  };

  // What run() gives if nobody aborts it.
  Outcome expected() const { return expected(seed_, depth_); }

  Task<Outcome> run() {
    Outcome outcome;
    try {
      outcome.value = co_await node(seed_, depth_, nullptr);
    } catch (const Error& error) {
      outcome.error = error.seed();
    }
    co_return outcome;
  }

  // Nodes that have begun and not ended.
  int live() const { return live_.load(std::memory_order_acquire); }

 protected:
  // Suspends a leaf; `hash` says how.
  virtual Task<> suspend(std::uint64_t hash) = 0;

  // splitmix64's finalizer.
  static std::uint64_t mix(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }

 private:
  enum class Form { kLeaf, kTuple, kVector, kFixed, kSized };

  class Error : public std::runtime_error {
   public:
    explicit Error(std::uint64_t seed)
        : std::runtime_error("node " + std::to_string(seed)), seed_(seed) {}
    std::uint64_t seed() const { return seed_; }

   private:
    std::uint64_t seed_;
  };

  // Of a node that runs, in its frame.
  class Scope {
   public:
    Scope(RandomTree* tree, Scope* parent) : tree_(tree), parent_(parent) {
      tree_->live_.fetch_add(1, std::memory_order_relaxed);
      if (parent_ != nullptr) parent_->children_.fetch_add(1, std::memory_order_relaxed);
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope() {
      EXPECT_EQ(children_.load(std::memory_order_acquire), 0) << "a parent ended before its child";
      EXPECT_FALSE(ended_) << "a frame ended twice";
      ended_ = true;
      if (parent_ != nullptr) parent_->children_.fetch_sub(1, std::memory_order_release);
      tree_->live_.fetch_sub(1, std::memory_order_release);
    }

   private:
    RandomTree* const tree_;
    Scope* const parent_;
    std::atomic<int> children_{0};
    bool ended_ = false;
  };

  static Form form(std::uint64_t seed, int depth) {
    const std::uint64_t choice = mix(seed) % 6;
    return depth == 0 || choice >= 4 ? Form::kLeaf : static_cast<Form>(1 + choice);
  }
  static std::size_t children(std::uint64_t seed, int depth) {
    switch (form(seed, depth)) {
      case Form::kLeaf:
        return 0;
      case Form::kTuple:
        return 2;
      case Form::kFixed:
        return 3;
      case Form::kVector:
      case Form::kSized:
        break;
    }
    return 1 + mix(seed + 1) % 4;
  }
  static std::uint64_t child_seed(std::uint64_t seed, std::size_t i) { return mix(seed + 16 + i); }
  static bool is_lazy(Form f) { return f == Form::kFixed || f == Form::kSized; }
  static bool cannot_be_made(std::uint64_t seed) { return mix(seed + 2) % 128 == 0; }
  static bool throws(std::uint64_t seed) { return mix(seed + 3) % 64 == 0; }
  static bool suspends(std::uint64_t seed) { return mix(seed + 4) % 2 == 0; }
  static std::int64_t value(std::uint64_t seed) {
    return static_cast<std::int64_t>(mix(seed + 5) % 1000);
  }

  static Outcome expected(std::uint64_t seed, int depth) {
    const Form f = form(seed, depth);
    Outcome outcome;
    if (f == Form::kLeaf) {
      if (throws(seed)) {
        outcome.error = seed;
      } else {
        outcome.value = value(seed);
      }
      return outcome;
    }
    for (std::size_t i = 0; i < children(seed, depth) && !outcome.error; ++i) {
      const std::uint64_t child = child_seed(seed, i);
      if (is_lazy(f) && cannot_be_made(child)) {
        outcome.error = child;
      } else {
        const Outcome part = expected(child, depth - 1);
        outcome.error = part.error;
        outcome.value = 3 * outcome.value + part.value;
      }
    }
    if (outcome.error) outcome.value = 0;
    return outcome;
  }

  Task<std::int64_t> leaf(std::uint64_t seed) {
    if (suspends(seed)) co_await suspend(mix(seed + 6));
    if (throws(seed)) throw Error(seed);
    co_return value(seed);
  }

  Task<std::int64_t> node(std::uint64_t seed, int depth, Scope* parent) {
    Scope scope(this, parent);
    Scope* const self = &scope;
    const auto child = [this, seed, depth, self](std::size_t i) {
      return node(child_seed(seed, i), depth - 1, self);
    };
    const auto make = [child, seed](std::size_t i) {
      if (cannot_be_made(child_seed(seed, i))) throw Error(child_seed(seed, i));
      return child(i);
    };
    const std::size_t n = children(seed, depth);
    std::vector<std::int64_t> parts;
    switch (form(seed, depth)) {
      case Form::kLeaf: {
        const std::int64_t value = co_await leaf(seed);
        co_return value;
      }
      case Form::kTuple: {
        const auto [a, b] = co_await when_all(child(0), child(1));
        parts = {a, b};
        break;
      }
      case Form::kVector: {
        std::vector<Task<std::int64_t>> tasks;
        for (std::size_t i = 0; i < n; ++i) tasks.push_back(child(i));
        parts = co_await when_all(std::move(tasks));
        break;
      }
      case Form::kFixed: {
        const std::array<std::int64_t, 3> array = co_await when_all_n<3>(make);
        parts.assign(array.begin(), array.end());
        break;
      }
      case Form::kSized:
        parts = co_await when_all_n(n, make);
        break;
    }
    std::int64_t sum = 0;
    for (const std::int64_t part : parts) sum = 3 * sum + part;
    co_return sum;
  }

  const std::uint64_t seed_;
  const int depth_;
  std::atomic<int> live_{0};
};

}  // namespace skua::test
