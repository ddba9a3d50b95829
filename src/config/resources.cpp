// Single endpoints and routes as documents of their own.
#include "base/json.hpp"
#include "base/text.hpp"
#include "config/checks.hpp"
#include "config/config.hpp"
#include "config/reader.hpp"
#include "config/writer.hpp"

#include <boost/json/value.hpp>

namespace corral::config {
namespace {

// JSON is YAML but for its tabs and surrogates, so what is valid JSON is read as such.
Result<ConfigNode> parse_any(std::string_view text, std::string_view source_name) {
  bool braces = trim(text).starts_with('{');
  if (braces && json::parse(text)) return parse_document(text, source_name, Format::json);
  return parse_document(text, source_name);
}

template <class Owner>
Result<void> read(Owner& owner, const std::vector<Property<Owner>>& table, std::string_view text,
                  std::string_view source_name, Reader& reader) {
  CORRAL_TRY(auto node, parse_any(text, source_name));
  reader.read_element(owner, table, node, "");
  return {};
}

// All that is wrong: what could not be read, then what breaks a rule.
Result<void> verdict(Reader& reader, const std::vector<Problem>& problems) {
  std::string param = problems.empty() ? "" : problems.front().path;
  for (const auto& problem : problems) {
    std::string place = reader.place_of(problem.path);
    reader.report(place.empty() ? reader.in_file(1) : place,
                  fmt::format("{}: {}", problem.path, problem.message));
  }
  if (reader.problems().empty()) return {};
  return fail(ErrorCode::invalid_argument, reader.all_problems()).field(std::move(param));
}

}  // namespace

Result<RouteSettings> parse_route(std::string_view text, std::string_view source_name) {
  Reader reader{std::string(source_name)};
  RouteSettings route;
  CORRAL_CHECK(read(route, route_properties(), text, source_name, reader));
  std::vector<Problem> problems;
  if (reader.problems().empty()) check_route(route, "", problems);
  CORRAL_CHECK(verdict(reader, problems));
  return route;
}

Result<EndpointSettings> parse_endpoint(std::string_view text, std::string_view source_name,
                                        const EndpointSettings* before) {
  Reader reader{std::string(source_name)};
  EndpointSettings endpoint;
  CORRAL_CHECK(read(endpoint, endpoint_properties(), text, source_name, reader));
  if (before != nullptr && endpoint.api_key.value == "***") endpoint.api_key = before->api_key;
  std::vector<Problem> problems;
  if (reader.problems().empty()) check_endpoint(endpoint, "", problems);
  CORRAL_CHECK(verdict(reader, problems));
  return endpoint;
}

std::string to_json(const RouteSettings& route) {
  return element_json(route_properties(), route, Secrets::masked, Defaults::written);
}
std::string to_json(const EndpointSettings& endpoint) {
  return element_json(endpoint_properties(), endpoint, Secrets::masked, Defaults::written);
}
std::string to_stored_json(const RouteSettings& route) {
  return element_json(route_properties(), route, Secrets::shown, Defaults::left_out);
}
std::string to_stored_json(const EndpointSettings& endpoint) {
  return element_json(endpoint_properties(), endpoint, Secrets::shown, Defaults::left_out);
}

}  // namespace corral::config
