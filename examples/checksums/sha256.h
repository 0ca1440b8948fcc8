// SPDX-License-Identifier: Apache-2.0
//
// SHA-256, as OpenSSL computes it.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <openssl/evp.h>

namespace checksums {

using Digest = std::array<unsigned char, 32>;

// One computation at a time; start() begins the next.
//
// Errors: kInternal, with OpenSSL's reason. Only start() gives a Sha256 a defined state again.
// Threads: one owner at a time.
class Sha256 {
 public:
  [[nodiscard]] absl::Status start();
  [[nodiscard]] absl::Status update(std::span<const std::byte> data);
  [[nodiscard]] absl::StatusOr<Digest> finish();

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  // Made by the first start(), then reused: looking up the algorithm takes OpenSSL 3 longer than to
  // hash a small file.
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

}  // namespace checksums
