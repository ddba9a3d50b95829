#include "models/sources/hugging_face.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/json.hpp"
#include "base/percent.hpp"
#include "base/text.hpp"
#include "models/sources/json_fields.hpp"
#include "models/sources/quantization.hpp"

namespace corral::models {
namespace {

namespace bj = boost::json;

constexpr std::uint64_t kLongestPage = 32u << 20;  // some repositories have thousands of files

bool is_repository_name(std::string_view text) {
  return !text.empty() && text.size() <= 96 && text.front() != '.' && text.front() != '-' &&
         !text.contains("..") && std::ranges::all_of(text, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

Error bad_reference() {
  return fail(ErrorCode::invalid_argument, "that names no repository on Hugging Face")
      .hint(
          "say hf:OWNER/REPOSITORY, hf:OWNER/REPOSITORY:Q4_K_M or "
          "hf:OWNER/REPOSITORY/FILE.gguf, and @REVISION at the end if need be");
}

std::string license_of(const bj::value& model) {
  if (const auto* card = field(model, "cardData")) {
    auto license = text_field(*card, "license");
    if (!license.empty()) return license;
  }
  for (const auto& tag : list_field(model, "tags")) {
    if (!tag.is_string()) continue;
    std::string_view text = tag.get_string();
    if (text.starts_with("license:")) return std::string(text.substr(8));
  }
  return {};
}

// 3212749888 -> "3.2B"
std::string parameters_text(std::uint64_t count) {
  double value = static_cast<double>(count);
  if (value >= 1e9) return fmt::format("{:.1f}B", value / 1e9);
  if (value >= 1e6) return fmt::format("{:.0f}M", value / 1e6);
  return count == 0 ? std::string() : fmt::format("{}", count);
}

bool is_gated(const bj::value& model) {
  const auto* gated = field(model, "gated");
  return gated != nullptr && !(gated->is_bool() && !gated->get_bool()) && !gated->is_null();
}

RemoteInfo info_of(const bj::value& model, std::string reference) {
  RemoteInfo info;
  info.reference = std::move(reference);
  info.license = license_of(model);
  info.updated = text_field(model, "lastModified");
  info.downloads = count_field(model, "downloads");
  info.likes = count_field(model, "likes");
  info.gated = is_gated(model);
  if (const auto* gguf = field(model, "gguf")) {
    info.architecture = text_field(*gguf, "architecture");
    info.context_length = count_field(*gguf, "context_length");
    info.parameters = parameters_text(count_field(*gguf, "total").value_or(0));
  }
  return info;
}

struct Repository {
  bj::value model;
  std::vector<std::string> paths;
  std::vector<const bj::value*> siblings;  // as paths
};

class HuggingFace final : public Source {
 public:
  HuggingFace(Web& web, std::string base, std::string token)
      : web_(web), base_(std::move(base)), token_(std::move(token)) {}

  std::string label() const override { return "Hugging Face"; }
  std::string address() const override { return base_; }
  net::Task<Result<void>> probe() override;
  std::string token() const override { return token_; }
  net::Task<Result<std::vector<RemoteInfo>>> search(std::string words, std::size_t most) override;
  net::Task<Result<RemoteInfo>> info(std::string reference) override;
  net::Task<Result<RemoteModel>> resolve(std::string reference) override;
  Error explain(Error error) const override;

 private:
  net::Task<Result<bj::value>> ask(std::string path);
  net::Task<Result<Repository>> repository(HubReference reference);
  Result<RemoteFile> file_of(const HubReference& reference, const Repository& from,
                             std::size_t index, FileRole role) const;

  Web& web_;
  std::string base_;
  std::string token_;
};

Error HuggingFace::explain(Error error) const {
  bool refused = error.code == ErrorCode::unauthenticated || error.code == ErrorCode::forbidden;
  if (!refused || error.peer_status == 0) return error;
  if (token_.empty()) {
    error.hint_text =
        "the repository is gated or private: accept its licence on huggingface.co, make a token "
        "there (settings, access tokens), and set sources.hugging_face_token";
  } else {
    error.hint_text =
        "the token in sources.hugging_face_token has no access: accept the repository's licence "
        "with its account, or make a token that may read gated repositories";
  }
  return error;
}

net::Task<Result<bj::value>> HuggingFace::ask(std::string path) {
  WebRequest request;
  request.url = base_ + path;
  request.bearer = token_;
  request.headers.emplace_back("Accept", "application/json");
  auto page = co_await web_.get_page(std::move(request), kLongestPage);
  if (!page) co_return std::unexpected(explain(std::move(page).error()));
  auto value = json::parse(page->body);
  if (!value) {
    co_return fail(ErrorCode::upstream, "Hugging Face answered with something else than JSON")
        .because(value.error().message);
  }
  co_return std::move(*value);
}

net::Task<Result<void>> HuggingFace::probe() {
  CORRAL_CO_TRY(auto answer, co_await ask("/api/models?filter=gguf&limit=1"));
  (void)answer;
  co_return Result<void>();
}

net::Task<Result<Repository>> HuggingFace::repository(HubReference reference) {
  std::string path = fmt::format("/api/models/{}", reference.repository);
  if (!reference.revision.empty()) path += "/revision/" + percent_encode(reference.revision);
  auto model = co_await ask(path + "?blobs=true");
  if (!model) {
    Error error = std::move(model).error();
    if (error.code == ErrorCode::not_found) {
      error.message = fmt::format("Hugging Face has no repository '{}'{}", reference.repository,
                                  reference.revision.empty()
                                      ? std::string()
                                      : fmt::format(" with a revision '{}'", reference.revision));
      error.hint_text = "look for it with: corral search WORDS";
    }
    co_return std::unexpected(std::move(error));
  }
  Repository found;
  found.model = std::move(*model);
  for (const auto& sibling : list_field(found.model, "siblings")) {
    auto name = text_field(sibling, "rfilename");
    if (name.empty()) continue;
    found.paths.push_back(std::move(name));
    found.siblings.push_back(&sibling);
  }
  co_return found;
}

Result<RemoteFile> HuggingFace::file_of(const HubReference& reference, const Repository& from,
                                        std::size_t index, FileRole role) const {
  const std::string& path = from.paths[index];
  CORRAL_CHECK(check_file_path(path));
  // The commit, not the branch: the files must be of one moment.
  std::string revision = text_field(from.model, "sha");
  if (revision.empty()) revision = reference.revision.empty() ? "main" : reference.revision;
  RemoteFile file;
  file.role = role;
  file.name = file_part(path);
  file.url = fmt::format("{}/{}/resolve/{}/{}", base_, reference.repository,
                         percent_encode(revision), escape_path(path));
  file.bytes = count_field(*from.siblings[index], "size");
  if (const auto* lfs = field(*from.siblings[index], "lfs")) {
    file.digest = digest_of_hex(text_field(*lfs, "sha256"));
    auto size = count_field(*lfs, "size");
    if (size && file.bytes && *size != *file.bytes) {
      return fail(ErrorCode::upstream, fmt::format("Hugging Face names two sizes for '{}'", path));
    }
    if (size) file.bytes = size;
  }
  return file;
}

net::Task<Result<RemoteModel>> HuggingFace::resolve(std::string reference) {
  CORRAL_CO_TRY(auto wanted, parse_hub_reference(reference));
  CORRAL_CO_TRY(auto found, co_await repository(wanted));
  if (is_gated(found.model) && token_.empty()) {
    Error error = fail(ErrorCode::unauthenticated,
                       fmt::format("the repository '{}' is gated", wanted.repository));
    error.peer_status = 401;
    co_return explain(std::move(error));
  }
  auto files = group_files(found.paths);
  CORRAL_CO_TRY(auto group, choose_group(files, found.paths, wanted.wanted));
  RemoteModel model;
  bool by_path = group.quantization.empty() || to_lower(wanted.wanted).ends_with(".gguf");
  model.name = fmt::format("hf.co/{}{}{}", wanted.repository, by_path ? "/" : ":",
                           by_path ? found.paths[group.files[0]] : group.quantization);
  model.origin = "hf:" + model.name.substr(6);
  if (!wanted.revision.empty()) model.origin += "@" + wanted.revision;
  model.revision = text_field(found.model, "sha");
  model.license = license_of(found.model);
  for (std::size_t index : group.files) {
    CORRAL_CO_TRY(auto file, file_of(wanted, found, index, FileRole::weights));
    model.files.push_back(std::move(file));
  }
  if (auto projector = choose_projector(files, found.paths)) {
    CORRAL_CO_TRY(auto file, file_of(wanted, found, *projector, FileRole::projector));
    model.files.push_back(std::move(file));
  }
  co_return model;
}

net::Task<Result<RemoteInfo>> HuggingFace::info(std::string reference) {
  CORRAL_CO_TRY(auto wanted, parse_hub_reference(reference));
  CORRAL_CO_TRY(auto found, co_await repository(wanted));
  auto files = group_files(found.paths);
  CORRAL_CO_TRY(auto group, choose_group(files, found.paths, wanted.wanted));
  auto info = info_of(found.model, "hf:" + reference);
  info.quantization = group.quantization;
  info.bytes = 0;
  for (std::size_t index : group.files) {
    *info.bytes += count_field(*found.siblings[index], "size").value_or(0);
  }
  co_return info;
}

net::Task<Result<std::vector<RemoteInfo>>> HuggingFace::search(std::string words,
                                                               std::size_t most) {
  CORRAL_CO_TRY(auto answer,
                co_await ask(fmt::format("/api/models?search={}&filter=gguf&sort=downloads"
                                         "&direction=-1&limit={}&expand=gguf&expand=downloads"
                                         "&expand=likes&expand=tags&expand=gated"
                                         "&expand=lastModified",
                                         percent_encode(words), most)));
  if (!answer.is_array()) {
    co_return fail(ErrorCode::upstream, "Hugging Face answered a search with something else");
  }
  std::vector<RemoteInfo> found;
  for (const auto& model : answer.get_array()) {
    auto name = text_field(model, "id");
    if (name.empty()) name = text_field(model, "modelId");
    auto reference = parse_hub_reference(name);
    if (!reference || found.size() == most) continue;
    found.push_back(info_of(model, "hf:" + reference->repository));
  }
  co_return found;
}

}  // namespace

Result<HubReference> parse_hub_reference(std::string_view text) {
  HubReference reference;
  auto at = text.rfind('@');
  if (at != std::string_view::npos) {
    reference.revision = text.substr(at + 1);
    text = text.substr(0, at);
    if (reference.revision.empty() || reference.revision.size() > 200) return bad_reference();
  }
  auto slash = text.find('/');
  if (slash == std::string_view::npos) return bad_reference();
  auto rest = std::min(text.find_first_of("/:", slash + 1), text.size());
  auto owner = text.substr(0, slash);
  auto repo = text.substr(slash + 1, rest - slash - 1);
  if (!is_repository_name(owner) || !is_repository_name(repo)) return bad_reference();
  reference.repository = fmt::format("{}/{}", owner, repo);
  if (rest < text.size()) {
    reference.wanted = text.substr(rest + 1);
    bool file = text[rest] == '/';
    if (reference.wanted.empty() || (file && !to_lower(reference.wanted).ends_with(".gguf")) ||
        !check_file_path(reference.wanted)) {
      return bad_reference();
    }
  }
  return reference;
}

std::unique_ptr<Source> hugging_face(Web& web, std::string base, std::string token) {
  return std::make_unique<HuggingFace>(web, std::move(base), std::move(token));
}

}  // namespace corral::models
