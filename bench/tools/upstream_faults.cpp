#include "upstream_faults.hpp"

#include <array>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/system/error_code.hpp>
#include <type_traits>
#include <utility>
#include <variant>

namespace bench {
namespace {

namespace json = boost::json;

struct Flag {
  std::string_view name;
  std::variant<bool Faults::*, std::int64_t Faults::*, std::string Faults::*> member;
};

const std::array kFlags = {
    Flag{"refuse", &Faults::refuse},
    Flag{"reset_on_accept", &Faults::reset_on_accept},
    Flag{"path", &Faults::path},
    Flag{"every", &Faults::every},
    Flag{"count", &Faults::count},
    Flag{"for_ms", &Faults::for_ms},
    Flag{"hold", &Faults::hold},
    Flag{"delay_ms", &Faults::delay_ms},
    Flag{"jitter_ms", &Faults::jitter_ms},
    Flag{"stall", &Faults::stall},
    Flag{"status", &Faults::status},
    Flag{"retry_after", &Faults::retry_after},
    Flag{"rubbish", &Faults::rubbish},
    Flag{"content_length", &Faults::content_length},
    Flag{"drip_ms", &Faults::drip_ms},
    Flag{"reset_after_bytes", &Faults::reset_after_bytes},
    Flag{"close_after_bytes", &Faults::close_after_bytes},
    Flag{"stall_after_bytes", &Faults::stall_after_bytes},
    Flag{"never_close", &Faults::never_close},
    Flag{"token_gap_ms", &Faults::token_gap_ms},
    Flag{"stall_after_tokens", &Faults::stall_after_tokens},
    Flag{"reset_after_tokens", &Faults::reset_after_tokens},
    Flag{"close_after_tokens", &Faults::close_after_tokens},
    Flag{"error_after_tokens", &Faults::error_after_tokens},
    Flag{"duplicate_token", &Faults::duplicate_token},
    Flag{"swap_tokens", &Faults::swap_tokens},
};

const Flag* find(std::string_view name) {
  for (const Flag& flag : kFlags) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

// False when the value has another type than the flag.
bool assign(const Flag& flag, const json::value& value, Faults& out) {
  return std::visit(
      [&](auto member) {
        using Value = std::remove_reference_t<decltype(out.*member)>;
        if constexpr (std::is_same_v<Value, bool>) {
          if (!value.is_bool()) return false;
          out.*member = value.get_bool();
        } else if constexpr (std::is_same_v<Value, std::string>) {
          if (!value.is_string()) return false;
          out.*member = std::string(value.get_string());
        } else {
          if (!value.is_int64()) return false;
          out.*member = value.get_int64();
        }
        return true;
      },
      flag.member);
}

}  // namespace

std::string json_of(const Faults& faults) {
  json::object out;
  for (const Flag& flag : kFlags) {
    std::visit([&](auto member) { out[flag.name] = faults.*member; }, flag.member);
  }
  return json::serialize(out);
}

std::string read_faults(std::string_view text, Faults& out) {
  out = {};
  boost::system::error_code failed;
  const json::value parsed = json::parse(text.empty() ? "{}" : text, failed);
  if (failed || !parsed.is_object()) return "not a JSON object";
  for (const auto& [name, value] : parsed.get_object()) {
    const Flag* flag = find(name);
    if (flag == nullptr) return "no fault is called '" + std::string(name) + "'";
    if (!assign(*flag, value, out)) return std::string(name) + " wants another type";
  }
  if (out.every < 1) return "every is at least 1";
  return {};
}

void FaultBook::set(Faults faults) {
  faults_ = std::move(faults);
  matched_ = hit_ = 0;
  // What says only where, how often and how long, and what concerns the port, is no fault of a
  // request.
  Faults rest = faults_;
  rest.path.clear();
  rest.every = 1;
  rest.count = rest.for_ms = 0;
  rest.refuse = rest.reset_on_accept = false;
  any_ = rest != Faults{};
}

bool FaultBook::hits(std::string_view path) {
  if (!any_ || !path.starts_with(faults_.path)) return false;
  if (++matched_ % faults_.every != 0) return false;
  if (faults_.count != 0 && hit_ >= faults_.count) return false;
  ++hit_;
  return true;
}

}  // namespace bench
