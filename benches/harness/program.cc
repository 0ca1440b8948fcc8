// SPDX-License-Identifier: Apache-2.0
#include "benches/harness/program.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <system_error>
#include <utility>

namespace skua::bench {
namespace {

constexpr int kWorkersMax = 1024;

// The parts one after the other. GCC 12.2 warns without reason where literals and strings are added inline
// (gcc.gnu.org/PR105651).
std::string text_of(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) text.append(part);
  return text;
}

// An option whose values are known by name.
struct Choice {
  std::string_view option;
  std::string_view letter;  // In the usage.
  std::string_view what;
  std::span<const std::string_view> known;
  std::string_view EngineOptions::* chosen;
};

// Those that the program has.
std::vector<Choice> choices_of(const ProgramInfo& program) {
  std::vector<Choice> choices = {{.option = "--policy",
                                  .letter = "P",
                                  .what = "how tasks are scheduled",
                                  .known = program.policies,
                                  .chosen = &EngineOptions::policy},
                                 {.option = "--backend",
                                  .letter = "B",
                                  .what = "through what I/O goes",
                                  .known = program.backends,
                                  .chosen = &EngineOptions::backend}};
  std::erase_if(choices, [](const Choice& choice) { return choice.known.empty(); });
  return choices;
}

std::string usage_of(const ProgramInfo& program) {
  std::string usage = text_of({"usage: ", program.name, " ROW [--size N] [--workers N]"});
  for (const Choice& choice : choices_of(program)) {
    usage += text_of({" [", choice.option, " ", choice.letter, "]"});
  }
  return usage + text_of({"\n       ", program.name, " --list | --help\n"});
}

std::string choices_help_of(const ProgramInfo& program) {
  std::string text;
  for (const Choice& choice : choices_of(program)) {
    std::string option = text_of({"  ", choice.option, " ", choice.letter});
    option.resize(15, ' ');
    text += text_of({option, choice.what, ":"});
    for (const std::string_view name : choice.known) text.append(" ").append(name);
    text.append("; the first unless said otherwise\n");
  }
  return text;
}

std::string help_of(const ProgramInfo& program) {
  return text_of(
      {usage_of(program), "\n", program.purpose,
       "\n"
       "\n"
       "  --list       names the rows: name, full size, smoke size, what the size is\n"
       "  --size N     instead of the full size\n"
       "  --workers N  threads that run tasks; 2 unless said otherwise\n",
       choices_help_of(program),
       "\n"
       "Runs the row once smaller, to warm up, then once for the figures; checks the answer; "
       "prints one\n"
       "line of JSON. Exit status: 0 done, 1 a wrong answer, 2 a mistake in the command line,\n"
       "3 not possible here.\n"});
}

std::string list_of(std::span<const RowInfo> rows) {
  std::string text;
  for (const RowInfo& row : rows) {
    text += text_of({row.name, " ", std::to_string(row.sizes.full), " ",
                     std::to_string(row.sizes.smoke), " ", row.size_is, "\n"});
  }
  return text;
}

std::optional<std::int64_t> number_of(std::string_view text) {
  std::int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

// What a mistake leads to: the reason and the usage.
Command refusal(const ProgramInfo& program, std::initializer_list<std::string_view> why) {
  Command command;
  command.exit_status = kExitUsage;
  command.text = text_of({program.name, ": ", text_of(why), "\n", usage_of(program)});
  return command;
}

Command text_only(std::string text) {
  Command command;
  command.exit_status = 0;
  command.text = std::move(text);
  return command;
}

std::string range_of(std::int64_t min, std::int64_t max) {
  return text_of({std::to_string(min), " to ", std::to_string(max)});
}

void append_json(std::string& json, std::string_view name, std::string_view value) {
  json += text_of({", \"", name, "\": ", value});
}

void append_json(std::string& json, std::string_view name, std::int64_t value) {
  append_json(json, name, std::to_string(value));
}

void append_json(std::string& json, std::string_view name, double value, const char* format) {
  char digits[64];
  std::snprintf(digits, sizeof digits, format, value);
  append_json(json, name, digits);
}

}  // namespace

void not_possible(const char* what, int error) {
  std::fprintf(stderr, "not possible here: %s: %s\n", what, std::strerror(error));
  std::exit(kExitNotPossible);
}

std::vector<Figure> latency_figures(const std::vector<std::int64_t>& sorted_ns) {
  return {{"p10_us", quantile_us(sorted_ns, 0.1)},    {"p50_us", quantile_us(sorted_ns, 0.5)},
          {"p90_us", quantile_us(sorted_ns, 0.9)},    {"p99_us", quantile_us(sorted_ns, 0.99)},
          {"p999_us", quantile_us(sorted_ns, 0.999)}, {"p9999_us", quantile_us(sorted_ns, 0.9999)},
          {"max_us", quantile_us(sorted_ns, 1)}};
}

Command parse_command(const ProgramInfo& program, std::span<const RowInfo> rows,
                      std::span<const std::string_view> arguments) {
  Command command;
  std::string_view name;
  std::optional<std::int64_t> size;
  const std::vector<Choice> choices = choices_of(program);
  for (const Choice& choice : choices) command.engine.*choice.chosen = choice.known.front();

  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (argument == "--help" || argument == "-h") return text_only(help_of(program));
    if (argument == "--list") return text_only(list_of(rows));
    if (!argument.starts_with("-")) {
      if (!name.empty()) return refusal(program, {"one row at a time"});
      name = argument;
      continue;
    }
    const auto choice = std::find_if(choices.begin(), choices.end(),
                                     [&](const Choice& c) { return c.option == argument; });
    if (argument != "--size" && argument != "--workers" && choice == choices.end()) {
      return refusal(program, {"unknown option ", argument});
    }
    if (i + 1 == arguments.size()) {
      return refusal(program, {argument, " needs a value"});
    }
    const std::string_view value = arguments[++i];
    if (choice != choices.end()) {
      const auto& known = choice->known;
      if (std::find(known.begin(), known.end(), value) == known.end()) {
        return refusal(program, {"unknown ", choice->option.substr(2), " ", value});
      }
      command.engine.*choice->chosen = value;
      continue;
    }
    const std::optional<std::int64_t> number = number_of(value);
    if (!number) return refusal(program, {argument, " needs a number"});
    if (argument == "--size") {
      size = number;
    } else if (*number < 1 || *number > kWorkersMax) {
      return refusal(program, {"--workers is from ", range_of(1, kWorkersMax)});
    } else {
      command.engine.workers = static_cast<int>(*number);
    }
  }

  if (name.empty()) return refusal(program, {"which row? See --list"});
  const auto row =
      std::find_if(rows.begin(), rows.end(), [&](const RowInfo& r) { return r.name == name; });
  if (row == rows.end()) {
    return refusal(program, {"unknown row ", name, "; see --list"});
  }
  command.row = static_cast<std::size_t>(row - rows.begin());
  command.size = size.value_or(row->sizes.full);
  const auto& [full, warm_up, smoke, min, max, fits] = row->sizes;
  if (command.size < min || command.size > max) {
    return refusal(program, {"the size of ", name, " is from ", range_of(min, max)});
  }
  if (fits != nullptr && !fits(command.size)) {
    return refusal(program, {"the size of ", name, " is: ", row->size_is});
  }
  return command;
}

std::string json_of(const RowInfo& row, const Command& command, const Outcome& outcome,
                    std::int64_t peak_rss_kib) {
  std::string json = text_of({"{\"row\": \"", row.name, "\""});
  const double ns = outcome.used.wall_s * 1e9;
  append_json(json, "ns_per_op", ns / static_cast<double>(outcome.ops), "%.3f");
  append_json(json, "wall_s", outcome.used.wall_s, "%.6f");
  append_json(json, "ops", outcome.ops);
  append_json(json, "cpu_s", outcome.used.cpu_s, "%.6f");
  append_json(json, "max_rss_kib", peak_rss_kib);
  append_json(json, "size", command.size);
  append_json(json, "workers", command.engine.workers);
  if (!command.engine.policy.empty()) {
    append_json(json, "policy", text_of({"\"", command.engine.policy, "\""}));
  }
  if (!command.engine.backend.empty()) {
    append_json(json, "backend", text_of({"\"", command.engine.backend, "\""}));
  }
  for (const Figure& figure : outcome.figures) append_json(json, figure.name, figure.value, "%.4f");
  return json.append("}");
}

int print_text(const Command& command) {
  std::fputs(command.text.c_str(), *command.exit_status == 0 ? stdout : stderr);
  return *command.exit_status;
}

int print_outcome(const ProgramInfo& program, const RowInfo& row, const Command& command,
                  const Outcome& outcome) {
  if (!outcome.right) {
    std::fprintf(stderr, "%s: %s: wrong answer\n", std::string(program.name).c_str(),
                 std::string(row.name).c_str());
    return kExitWrongAnswer;
  }
  std::puts(json_of(row, command, outcome, peak_rss_kib()).c_str());
  return 0;
}

}  // namespace skua::bench
