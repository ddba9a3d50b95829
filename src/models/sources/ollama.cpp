#include "models/sources/ollama.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/json.hpp"
#include "base/text.hpp"
#include "models/sha256.hpp"
#include "models/sources/json_fields.hpp"

namespace corral::models {
namespace {

namespace bj = boost::json;

constexpr std::uint64_t kLongestManifest = 4u << 20;
constexpr std::string_view kManifestType = "application/vnd.docker.distribution.manifest.v2+json";
constexpr std::string_view kLayerPrefix = "application/vnd.ollama.image.";

bool is_library_name(std::string_view text) {
  return !text.empty() && text.size() <= 80 && text.front() != '.' && text.front() != '-' &&
         std::ranges::all_of(text, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

struct Layer {
  FileRole role;
  const char* name;  // what the file is called; weights are called after the model
};

// Layers of other kinds belong to formats that are not run here.
std::optional<Layer> layer_of(std::string_view media_type) {
  if (!media_type.starts_with(kLayerPrefix)) return std::nullopt;
  auto kind = media_type.substr(kLayerPrefix.size());
  if (kind == "model") return Layer{FileRole::weights, "model.gguf"};
  if (kind == "projector") return Layer{FileRole::projector, "projector.gguf"};
  if (kind == "adapter") return Layer{FileRole::adapter, "adapter.gguf"};
  if (kind == "template") return Layer{FileRole::chat_template, "template"};
  if (kind == "params") return Layer{FileRole::parameters, "params.json"};
  if (kind == "system") return Layer{FileRole::system_prompt, "system"};
  if (kind == "messages") return Layer{FileRole::messages, "messages.json"};
  if (kind == "license") return Layer{FileRole::license, "license"};
  return std::nullopt;
}

struct Manifest {
  bj::value document;
  std::string digest;
};

class OllamaRegistry final : public Source {
 public:
  OllamaRegistry(Web& web, std::string base, std::string prefix)
      : web_(web), base_(std::move(base)), prefix_(std::move(prefix)) {}

  std::string label() const override { return "Ollama library"; }
  std::string address() const override { return base_; }
  net::Task<Result<void>> probe() override;
  net::Task<Result<std::vector<RemoteInfo>>> search(std::string, std::size_t) override {
    co_return fail(ErrorCode::unsupported, "the Ollama registry has no search")
        .hint("its models are listed on ollama.com/library");
  }
  net::Task<Result<RemoteInfo>> info(std::string reference) override;
  net::Task<Result<RemoteModel>> resolve(std::string reference) override;

 private:
  net::Task<Result<Manifest>> manifest(RegistryReference reference);
  std::string repository(const RegistryReference& reference) const {
    return fmt::format("{}/v2/{}/{}", base_, reference.owner, reference.name);
  }
  std::string full_name(const RegistryReference& reference) const {
    std::string owner = reference.owner == "library" ? "" : reference.owner + "/";
    return fmt::format("{}{}{}:{}", prefix_, owner, reference.name, reference.tag);
  }
  Result<RemoteFile> file_of(const RegistryReference& reference, const bj::value& layer,
                             const Layer& kind) const;

  Web& web_;
  std::string base_;
  std::string prefix_;
};

net::Task<Result<Manifest>> OllamaRegistry::manifest(RegistryReference reference) {
  WebRequest request;
  request.url = fmt::format("{}/manifests/{}", repository(reference), reference.tag);
  request.headers.emplace_back("Accept", kManifestType);
  auto page = co_await web_.get_page(std::move(request), kLongestManifest);
  if (!page) {
    Error error = std::move(page).error();
    if (error.code == ErrorCode::not_found) {
      error.message = fmt::format("the Ollama library has no '{}'", full_name(reference));
      error.hint_text = "its models and their tags are listed on ollama.com/library";
    }
    co_return std::unexpected(std::move(error));
  }
  Sha256 hash;
  hash.update(page->body);
  Manifest found;
  found.digest = hash.digest();
  auto document = json::parse(page->body);
  if (!document || list_field(*document, "layers").empty()) {
    co_return fail(ErrorCode::upstream, "the registry answered with something that is no manifest");
  }
  found.document = std::move(*document);
  co_return found;
}

Result<RemoteFile> OllamaRegistry::file_of(const RegistryReference& reference,
                                           const bj::value& layer, const Layer& kind) const {
  RemoteFile file;
  file.role = kind.role;
  file.name = kind.name;
  file.bytes = count_field(layer, "size");
  file.digest = digest_of_hex(text_field(layer, "digest"));
  if (file.digest.empty() || !file.bytes) {
    return fail(ErrorCode::upstream, "the registry's manifest names no digest or no size");
  }
  file.url = fmt::format("{}/blobs/{}", repository(reference), file.digest);
  return file;
}

net::Task<Result<RemoteModel>> OllamaRegistry::resolve(std::string reference) {
  CORRAL_CO_TRY(auto wanted, parse_registry_reference(reference));
  CORRAL_CO_TRY(auto found, co_await manifest(wanted));
  RemoteModel model;
  model.name = full_name(wanted);
  model.origin = prefix_.empty() ? "ollama:" + model.name : model.name;
  model.revision = found.digest;
  bool weights = false;
  for (const auto& layer : list_field(found.document, "layers")) {
    auto kind = layer_of(text_field(layer, "mediaType"));
    if (!kind) continue;
    CORRAL_CO_TRY(auto file, file_of(wanted, layer, *kind));
    weights = weights || kind->role == FileRole::weights;
    model.files.push_back(std::move(file));
  }
  if (!weights) {
    co_return fail(ErrorCode::unsupported,
                   fmt::format("'{}' has no weights of its own to run", model.name))
        .hint("it is a cloud model, or of a format that Corral does not run");
  }
  sort_by_role(model.files);
  co_return model;
}

// Any answer of a registry's own will do, a demand for credentials too.
net::Task<Result<void>> OllamaRegistry::probe() {
  WebRequest request;
  request.url = base_ + "/v2/";
  CORRAL_CO_TRY(auto answer, co_await web_.get(std::move(request)));
  if (answer.response->status() < 500) co_return Result<void>();
  co_return std::unexpected(
      status_error(answer.response->status(), answer.response->headers(), "that", base_));
}

net::Task<Result<RemoteInfo>> OllamaRegistry::info(std::string reference) {
  CORRAL_CO_TRY(auto wanted, parse_registry_reference(reference));
  CORRAL_CO_TRY(auto found, co_await manifest(wanted));
  RemoteInfo info;
  info.reference = full_name(wanted);
  info.bytes = 0;
  for (const auto& layer : list_field(found.document, "layers")) {
    *info.bytes += count_field(layer, "size").value_or(0);
  }
  const auto* config = field(found.document, "config");
  auto digest = config == nullptr ? std::string() : digest_of_hex(text_field(*config, "digest"));
  if (digest.empty()) co_return info;
  WebRequest request;
  request.url = fmt::format("{}/blobs/{}", repository(wanted), digest);
  CORRAL_CO_TRY(auto page, co_await web_.get_page(std::move(request), kLongestManifest));
  auto facts = json::parse(page.body);
  if (!facts) co_return info;
  info.architecture = text_field(*facts, "model_family");
  info.parameters = text_field(*facts, "model_type");
  info.quantization = text_field(*facts, "file_type");
  co_return info;
}

}  // namespace

Result<RegistryReference> parse_registry_reference(std::string_view text) {
  RegistryReference reference;
  auto slash = text.find('/');
  if (slash != std::string_view::npos) {
    reference.owner = text.substr(0, slash);
    text = text.substr(slash + 1);
  }
  auto colon = text.find(':');
  if (colon != std::string_view::npos) reference.tag = text.substr(colon + 1);
  reference.name = text.substr(0, colon);
  if (!is_library_name(reference.owner) || !is_library_name(reference.name) ||
      !is_library_name(reference.tag)) {
    return fail(ErrorCode::invalid_argument, "that names no model of an Ollama library")
        .hint(
            "say NAME, NAME:TAG or OWNER/NAME:TAG, as in llama3.2:3b; other sources: hf:OWNER/"
            "REPOSITORY, a URL of a .gguf file, or a folder of sources.folders");
  }
  return reference;
}

std::unique_ptr<Source> ollama_registry(Web& web, std::string base, std::string prefix) {
  return std::make_unique<OllamaRegistry>(web, std::move(base), std::move(prefix));
}

}  // namespace corral::models
