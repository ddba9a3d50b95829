// `corral endpoints` and `corral routes`: see, add, remove, explain; breakers by hand.
#include <fmt/core.h>

#include <set>

#include "base/text.hpp"
#include "cli/commands.hpp"
#include "cli/json_view.hpp"
#include "config/node.hpp"

namespace corral::cli {

namespace json = boost::json;

namespace {

constexpr std::size_t kMostFileBytes = 1u << 20;

std::string_view noun(Resource kind) { return kind == Resource::endpoint ? "endpoint" : "route"; }

Outcome<void> list(Context& context, const Options& options, Resource kind) {
  CORRAL_TRY(std::string body, context.api.resources(kind));
  if (options.json) {
    print_json(context.console, body);
    return {};
  }
  bool endpoints = kind == Resource::endpoint;
  std::string table = endpoints ? render_endpoints(body, context.out_paint)
                                : render_routes(body, context.out_paint);
  if (table.empty()) {
    table = endpoints ? "There is no endpoint but the engines that Corral runs itself.\n"
                      : "There is no route and no model.\n";
  }
  context.console.out(table);
  return {};
}

Outcome<void> show(Context& context, const Options& options, Resource kind) {
  CORRAL_TRY(std::string body, context.api.resource(kind, options.name));
  if (options.json) {
    print_json(context.console, body);
  } else {
    context.console.out(kind == Resource::endpoint ? render_endpoint(body, context.out_paint)
                                                   : render_route(body, context.out_paint));
  }
  return {};
}

Outcome<void> explain(Context& context, const Options& options) {
  CORRAL_TRY(std::string body, context.api.explain(options.name));
  if (options.json) {
    print_json(context.console, body);
  } else {
    context.console.out(render_explanation(body, context.out_paint));
  }
  return {};
}

struct Document {
  std::string text;
  std::string source;  // for messages
};

Outcome<Document> read_document(Context& context, const Options& options) {
  bool from_input = options.file == "-";
  auto text = from_input ? context.console.read_input(kMostFileBytes)
                         : context.files.read(options.file, kMostFileBytes);
  if (!text) return failure(std::move(text.error()));
  return Document{std::move(*text), from_input ? "standard input" : options.file};
}

// The name that the document gives itself; the server judges all the rest.
Outcome<std::string> name_in(const Document& document, Resource kind) {
  bool is_json = trim(document.text).starts_with('{') && corral::json::parse(document.text);
  auto node = config::parse_document(document.text, document.source,
                                     is_json ? config::Format::json : config::Format::by_name);
  if (!node) return failure(std::move(node.error()));
  for (std::size_t i = 0; i < node->keys.size(); ++i) {
    const config::ConfigNode& value = node->items[i];
    if (node->keys[i].text == "name" && value.kind == config::ConfigNode::Kind::scalar &&
        !value.text.empty()) {
      return value.text;
    }
  }
  return failure(ExitCode::failed,
                 fmt::format("{} gives no \"name\" of the {}", document.source, noun(kind)),
                 fmt::format("it holds one {}, as it would stand in the list \"{}s\" of the "
                             "configuration",
                             noun(kind), noun(kind)));
}

// The server knows the document as "request": "request:3: ..." becomes "chat.yaml:3: ...".
std::string with_source(std::string_view message, std::string_view source) {
  constexpr std::string_view kRequest = "request:";
  std::string out;
  for (std::size_t at = 0; at < message.size();) {
    bool begins = message.substr(at).starts_with(kRequest) && (at == 0 || message[at - 1] == ' ');
    if (begins) {
      out += source;
      out += ':';
      at += kRequest.size();
    } else {
      out += message[at++];
    }
  }
  return out;
}

Outcome<void> add(Context& context, const Options& options, Resource kind) {
  CORRAL_TRY(Document document, read_document(context, options));
  CORRAL_TRY(std::string name, name_in(document, kind));
  auto body = context.api.put_resource(kind, name, std::move(document.text),
                                       options.replace ? Put::replace : Put::fresh);
  if (!body) {
    body.error().message = with_source(body.error().message, document.source);
    return std::unexpected(std::move(body.error()));
  }
  if (options.json) {
    print_json(context.console, *body);
    return {};
  }
  json::value added = parse_or_null(*body);
  context.console.out(fmt::format("{} {} is in place, version {}\n", noun(kind), safe_line(name),
                                  number_text(added, "version")));
  return {};
}

Outcome<void> remove(Context& context, const Options& options, Resource kind) {
  CORRAL_CHECK(context.api.remove_resource(kind, options.name));
  if (options.json) {
    json::object done{{"name", options.name}, {"removed", true}};
    print_json(context.console, corral::json::serialize(json::value(done)));
  } else {
    context.console.out(fmt::format("{} {} is removed\n", noun(kind), safe_line(options.name)));
  }
  return {};
}

Outcome<void> set_breakers(Context& context, const Options& options, std::string_view action) {
  CORRAL_TRY(std::string body, context.api.set_breakers(options.name, action, options.model));
  if (options.json) {
    print_json(context.console, body);
    return {};
  }
  json::value endpoint = parse_or_null(body);
  for (const json::value& model : list_of(endpoint, "models")) {
    std::string_view name = text_of(model, "model");
    if (!options.model.empty() && name != options.model) continue;
    const json::value* breaker = member(model, "breaker");
    context.console.out(fmt::format("{} {}: the breaker is {}\n", safe_line(options.name),
                                    safe_line(name),
                                    breaker ? safe_line(text_of(*breaker, "state")) : action));
  }
  return {};
}

// A `*` is matched by no file and so stays what it is; anything else that means something to a
// shell could do harm on the command line it is put into.
bool safe_in_shell(std::string_view name) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@+-*";
  return !name.empty() && name[0] != '-' &&
         name.find_first_not_of(kPlain) == std::string_view::npos;
}

// Only folders can be synced, and only their names begin a reference.
void add_source_names(const json::value& document, std::string_view ending,
                      std::set<std::string>& names) {
  for (const json::value& source : list_of(document, "sources")) {
    if (text_of(source, "kind") != "folder") continue;
    names.insert(std::string(text_of(source, "name")).append(ending));
  }
}

void add_routes(const json::value& document, bool with_aliases, std::set<std::string>& names) {
  for (const json::value& route : list_of(document, "routes")) {
    names.emplace(text_of(route, "name"));
    if (!with_aliases) continue;
    for (const json::value& alias : list_of(route, "aliases")) {
      if (alias.is_string()) names.emplace(alias.get_string());
    }
  }
}

}  // namespace

Outcome<void> gateway_command(Context& context, const Options& options) {
  std::string_view command = options.command;
  Resource kind = command.starts_with("endpoints") ? Resource::endpoint : Resource::route;
  std::size_t space = command.find(' ');
  if (space == std::string_view::npos) return list(context, options, kind);
  std::string_view action = command.substr(space + 1);
  if (action == "show") return show(context, options, kind);
  if (action == "add") return add(context, options, kind);
  if (action == "remove") return remove(context, options, kind);
  if (action == "explain") return explain(context, options);
  return set_breakers(context, options, action);
}

void complete_names(Context& context, std::string_view kind) {
  std::set<std::string> names;
  if (kind == "models") {
    auto body = context.api.models();
    json::value document = parse_or_null(body ? *body : "");
    for (const json::value& model : list_of(document, "models")) {
      names.emplace(text_of(model, "name"));
    }
  } else if (kind == "endpoints") {
    auto body = context.api.resources(Resource::endpoint);
    json::value document = parse_or_null(body ? *body : "");
    for (const json::value& endpoint : list_of(document, "endpoints")) {
      names.emplace(text_of(endpoint, "name"));
    }
  } else if (kind == "containers") {
    auto body = context.api.containers();
    json::value document = parse_or_null(body ? *body : "");
    for (const json::value& container : list_of(document, "containers")) {
      names.emplace(text_of(container, "name"));
    }
  } else if (kind == "sources" || kind == "references") {
    auto body = context.api.source_names();
    add_source_names(parse_or_null(body ? *body : ""), kind == "references" ? "/" : "", names);
  } else if (kind == "routes" || kind == "names") {
    auto body = context.api.resources(Resource::route);
    add_routes(parse_or_null(body ? *body : ""), kind == "names", names);
  }
  for (const std::string& name : names) {
    // A client asks for what a wildcard stands for, never for the wildcard.
    bool wanted = kind == "routes" || name.find('*') == std::string::npos;
    if (wanted && safe_in_shell(name)) context.console.out(name + "\n");
  }
}

}  // namespace corral::cli
