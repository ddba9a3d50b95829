#include "models/sources/http_folder.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/json.hpp"
#include "base/text.hpp"
#include "models/core/range_answer.hpp"
#include "models/sources/json_fields.hpp"
#include "models/sources/quantization.hpp"
#include "net/http_server.hpp"

namespace corral::models {
namespace {

namespace bj = boost::json;

constexpr std::uint64_t kLongestIndex = 64u << 20;

constexpr std::string_view kSharePath = "/share/v1";

class HttpFolder final : public Source {
 public:
  HttpFolder(Web& web, FolderPlace place)
      : web_(web), place_(std::move(place)), base_(place_.url) {}

  std::string label() const override { return place_.label; }
  std::string address() const override { return place_.url; }
  std::string token() const override { return place_.token; }
  Error explain(Error error) const override;
  net::Task<Result<void>> probe() override;
  net::Task<Result<RemoteListing>> all() override;
  net::Task<Result<std::vector<RemoteInfo>>> search(std::string words, std::size_t most) override;
  net::Task<Result<RemoteInfo>> info(std::string reference) override;
  net::Task<Result<RemoteModel>> resolve(std::string reference) override;

 private:
  net::Task<Result<WebPage>> page(std::string base);
  net::Task<Result<WebPage>> find_page();
  net::Task<Result<bj::value>> index();
  net::Task<Result<bj::value>> model(std::string name);
  RemoteInfo info_of(const bj::value& model) const;
  Result<RemoteFile> file_of(const bj::value& file) const;
  Result<RemoteModel> model_of(const bj::value& model) const;

  Web& web_;
  FolderPlace place_;
  std::string base_;  // of the index, once it was found
};

Error HttpFolder::explain(Error error) const {
  bool refused = error.code == ErrorCode::unauthenticated || error.code == ErrorCode::forbidden;
  if (!refused || error.peer_status == 0) return error;
  error.hint_text =
      place_.token.empty()
          ? fmt::format(
                "put its token (of another Corral: its server.api_key) into a file, and name that "
                "in sources.folders: {}=URL token_file=/PATH",
                place_.label)
          : fmt::format("it does not take the token that sources.folders names for '{}'",
                        place_.label);
  return error;
}

net::Task<Result<WebPage>> HttpFolder::page(std::string base) {
  WebRequest request;
  request.url = base + "/index.json";
  request.bearer = place_.token;
  auto found = co_await web_.get_page(std::move(request), kLongestIndex);
  if (!found) co_return std::unexpected(explain(std::move(found).error()));
  base_ = std::move(base);
  co_return std::move(*found);
}

// An address without a path may be another Corral's, whose folder lies below.
net::Task<Result<WebPage>> HttpFolder::find_page() {
  auto found = co_await page(base_);
  CORRAL_CO_TRY(auto url, split_url(place_.url));
  bool elsewhere = !found && found.error().code == ErrorCode::not_found && url.path == "/";
  if (!elsewhere) co_return found;
  co_return co_await page(place_.url + std::string(kSharePath));
}

net::Task<Result<bj::value>> HttpFolder::index() {
  auto page = co_await find_page();
  if (!page) {
    Error error = std::move(page).error();
    if (error.code == ErrorCode::not_found) {
      error.message = fmt::format("the folder '{}' has no index.json", place_.label);
      error.hint_text =
          "sources.folders names the address of a folder that holds one, or of another Corral; "
          "that one gives its models out when models.share is set there";
    }
    co_return std::unexpected(std::move(error));
  }
  auto document = json::parse(page->body);
  if (!document || count_field(*document, "corral_index") != 1u) {
    co_return fail(ErrorCode::upstream,
                   fmt::format("the index.json of '{}' is none that Corral knows", place_.label))
        .hint("it is an object with \"corral_index\": 1 and \"models\"");
  }
  co_return std::move(*document);
}

net::Task<Result<void>> HttpFolder::probe() {
  CORRAL_CO_TRY(auto document, co_await index());
  (void)document;
  co_return Result<void>();
}

net::Task<Result<bj::value>> HttpFolder::model(std::string name) {
  CORRAL_CO_TRY(auto document, co_await index());
  std::vector<std::string> names;
  for (const auto& model : list_field(document, "models")) {
    auto each = text_field(model, "name");
    if (each == name || each == name + ":latest") co_return bj::value(model);
    if (!each.empty()) names.push_back(std::move(each));
  }
  auto close = nearest(name, names);
  co_return fail(ErrorCode::not_found,
                 fmt::format("the folder '{}' has no '{}'", place_.label, name))
      .hint(close.empty() ? fmt::format("corral search shows its {} models", names.size())
                          : fmt::format("did you mean {}?", join(close, ", ")));
}

RemoteInfo HttpFolder::info_of(const bj::value& model) const {
  RemoteInfo info;
  info.reference = fmt::format("{}/{}", place_.label, text_field(model, "name"));
  info.description = text_field(model, "description");
  info.license = text_field(model, "license");
  info.architecture = text_field(model, "architecture");
  info.parameters = text_field(model, "parameters");
  info.quantization = text_field(model, "quantization");
  info.updated = text_field(model, "updated");
  info.context_length = count_field(model, "context_length");
  info.bytes = 0;
  for (const auto& file : list_field(model, "files")) {
    *info.bytes += count_field(file, "size").value_or(0);
  }
  return info;
}

Result<RemoteFile> HttpFolder::file_of(const bj::value& from) const {
  auto path = text_field(from, "path");
  CORRAL_CHECK(check_file_path(path));
  RemoteFile file;
  file.name = file_part(path);
  file.url = fmt::format("{}/{}", base_, escape_path(path));
  file.bytes = count_field(from, "size");
  auto role = text_field(from, "role");
  if (!role.empty()) {
    auto known = parse_file_role(role);
    if (!known) {
      return fail(ErrorCode::upstream,
                  fmt::format("the index of '{}' gives a file a role that is none", place_.label));
    }
    file.role = *known;
  }
  auto sum = text_field(from, "sha256");
  file.digest = digest_of_hex(sum);
  if (!sum.empty() && file.digest.empty()) {
    return fail(ErrorCode::upstream,
                fmt::format("the index of '{}' gives a checksum that is none", place_.label));
  }
  return file;
}

Result<RemoteModel> HttpFolder::model_of(const bj::value& from) const {
  RemoteModel result;
  auto name = text_field(from, "name");
  result.name = fmt::format("{}/{}", place_.label, name);
  result.origin = result.name;
  result.revision = text_field(from, "revision");
  result.license = text_field(from, "license");
  bool weights = false;
  for (const auto& each : list_field(from, "files")) {
    CORRAL_TRY(auto file, file_of(each));
    weights = weights || file.role == FileRole::weights;
    result.files.push_back(std::move(file));
  }
  if (!weights) {
    return fail(ErrorCode::upstream,
                fmt::format("the index of '{}' names no weights of '{}'", place_.label, name));
  }
  sort_by_role(result.files);
  return result;
}

net::Task<Result<RemoteModel>> HttpFolder::resolve(std::string reference) {
  CORRAL_CO_TRY(auto found, co_await model(reference));
  co_return model_of(found);
}

net::Task<Result<RemoteListing>> HttpFolder::all() {
  CORRAL_CO_TRY(auto document, co_await index());
  RemoteListing listing;
  const auto& entries = list_field(document, "models");
  listing.models.reserve(entries.size());
  for (const auto& each : entries) {
    auto model = model_of(each);
    if (model) {
      listing.models.push_back(std::move(*model));
    } else {
      Error error = std::move(model).error();
      error.param = text_field(each, "name");
      listing.refused.push_back(std::move(error));
    }
  }
  co_return listing;
}

net::Task<Result<RemoteInfo>> HttpFolder::info(std::string reference) {
  CORRAL_CO_TRY(auto found, co_await model(reference));
  co_return info_of(found);
}

net::Task<Result<std::vector<RemoteInfo>>> HttpFolder::search(std::string words, std::size_t most) {
  CORRAL_CO_TRY(auto document, co_await index());
  std::vector<RemoteInfo> found;
  std::string wanted = to_lower(words);
  for (const auto& model : list_field(document, "models")) {
    if (found.size() == most) break;
    auto text = to_lower(text_field(model, "name") + " " + text_field(model, "description"));
    bool all = std::ranges::all_of(split(wanted, ' '),
                                   [&](std::string_view word) { return text.contains(word); });
    if (all) found.push_back(info_of(model));
  }
  co_return found;
}

// --- single files --------------------------------------------------------------------------------

class SingleFiles final : public Source {
 public:
  explicit SingleFiles(Web& web) : web_(web) {}
  std::string label() const override { return "URL"; }
  net::Task<Result<std::vector<RemoteInfo>>> search(std::string, std::size_t) override {
    co_return std::vector<RemoteInfo>();
  }
  net::Task<Result<RemoteInfo>> info(std::string reference) override;
  net::Task<Result<RemoteModel>> resolve(std::string reference) override {
    co_return plan(reference);
  }

 private:
  static Result<RemoteModel> plan(const std::string& reference);
  net::Task<Result<RangeVerdict>> look(const RemoteFile& file);

  Web& web_;
};

// Asks for the first bytes alone. A GGUF file begins with its name.
net::Task<Result<RangeVerdict>> SingleFiles::look(const RemoteFile& file) {
  constexpr std::string_view kMagic = "GGUF";
  constexpr ByteRange kFirst{0, kMagic.size()};
  const std::string range = fmt::format("bytes=0-{}", kMagic.size() - 1);
  CORRAL_CO_TRY(auto answer, co_await web_.get({.url = file.url, .headers = {{"range", range}}}));
  const auto& headers = answer.response->headers();
  const int status = answer.response->status();
  auto verdict = judge({kFirst, {}, {}}, {status, headers.get("content-range"),
                                          headers.get("content-length"), headers.get("etag")});
  if (verdict.kind == RangeVerdict::Kind::refused) {
    co_return status_error(status, headers, fmt::format("'{}'", file.name), file.url);
  }
  if (verdict.kind == RangeVerdict::Kind::wrong) {
    co_return fail(ErrorCode::upstream, std::move(verdict.why));
  }
  std::string begin;
  while (begin.size() < kMagic.size()) {
    CORRAL_CO_TRY(auto part, co_await answer.response->read_some());
    if (part.empty()) break;
    begin.append(part.substr(0, kMagic.size() - begin.size()));
  }
  if (begin == kMagic) co_return verdict;
  co_return fail(ErrorCode::invalid_argument, fmt::format("'{}' is not a GGUF file", file.name))
      .hint("Corral runs models in the GGUF format");
}

net::Task<Result<RemoteInfo>> SingleFiles::info(std::string reference) {
  CORRAL_CO_TRY(auto model, plan(reference));
  CORRAL_CO_TRY(auto found, co_await look(model.files.front()));
  RemoteInfo info;
  info.quantization = quantization_of(reference);
  info.bytes = found.total;
  info.reference = std::move(reference);
  co_return info;
}

Result<RemoteModel> SingleFiles::plan(const std::string& reference) {
  constexpr std::string_view kSum = "#sha256=";
  RemoteFile file;
  auto hash = reference.find('#');
  if (hash != std::string::npos) {
    auto fragment = std::string_view(reference).substr(hash);
    if (fragment.starts_with(kSum)) file.digest = digest_of_hex(fragment.substr(kSum.size()));
    if (file.digest.empty()) {
      return fail(ErrorCode::invalid_argument, "what follows '#' in the URL is no checksum")
          .hint("it is #sha256= and 64 hexadecimal digits, or nothing");
    }
  }
  file.url = reference.substr(0, hash);
  CORRAL_TRY(auto url, split_url(file.url));
  auto path = net::decode_path(std::string_view(url.path).substr(0, url.path.find('?')));
  file.name = path ? std::string(file_part(*path)) : std::string();
  if (!to_lower(file.name).ends_with(".gguf") || !check_file_name(file.name)) {
    return fail(ErrorCode::invalid_argument, "the URL does not lead to a .gguf file")
        .hint("a folder with an index belongs into sources.folders");
  }
  RemoteModel model;
  model.name =
      fmt::format("{}/{}", to_lower(url.target.host), file.name.substr(0, file.name.size() - 5));
  model.origin = reference;
  model.files.push_back(std::move(file));
  return model;
}

}  // namespace

std::unique_ptr<Source> http_folder(Web& web, FolderPlace place) {
  return std::make_unique<HttpFolder>(web, std::move(place));
}

std::unique_ptr<Source> single_files(Web& web) { return std::make_unique<SingleFiles>(web); }

}  // namespace corral::models
