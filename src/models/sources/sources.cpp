#include "models/sources/sources.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.hpp"
#include "models/sources/folder_entry.hpp"
#include "models/sources/http_folder.hpp"
#include "models/sources/hugging_face.hpp"
#include "models/sources/ollama.hpp"

namespace corral::models {
namespace {

constexpr std::size_t kLongestReference = 2000;

std::string without_slash(std::string text) {
  while (text.ends_with('/')) text.pop_back();
  return text;
}

// "owner/repo/resolve/main/x/file.gguf" and "owner/repo/tree/rev", as the hub's pages are called,
// become "owner/repo/x/file.gguf@main".
std::string from_page(std::string_view path) {
  path = path.substr(0, path.find_first_of("?#"));
  auto words = split(path, '/');
  bool page =
      words.size() >= 4 && (words[2] == "resolve" || words[2] == "blob" || words[2] == "tree");
  if (!page) return without_slash(std::string(path));
  std::string reference = fmt::format("{}/{}", words[0], words[1]);
  for (std::size_t i = 4; i < words.size(); ++i) reference += fmt::format("/{}", words[i]);
  return without_slash(std::move(reference)) + fmt::format("@{}", words[3]);
}

bool is_host(std::string_view word) {
  return word.contains('.') || word.contains(':') || word == "localhost";
}

}  // namespace

Result<std::unique_ptr<Sources>> Sources::make(const config::SourcesSettings& settings,
                                               std::chrono::milliseconds silence,
                                               sys::Files& files) {
  std::unique_ptr<Sources> made(new Sources(settings, silence));
  for (const auto& address : {settings.hugging_face, settings.ollama}) {
    CORRAL_TRY(auto url, split_url(address));
    (void)url;
  }
  made->hub_base_ = without_slash(settings.hugging_face);
  made->hub_ = hugging_face(made->web_, made->hub_base_, settings.hugging_face_token.value);
  made->ollama_ = ollama_registry(made->web_, without_slash(settings.ollama), "");
  made->files_ = single_files(made->web_);
  for (const auto& text : settings.folders) {
    CORRAL_TRY(auto entry, parse_folder_entry(text));
    CORRAL_TRY(auto token, read_token(files, entry));
    made->folders_.emplace_back(entry.name,
                                http_folder(made->web_, {entry.name, entry.url, token}));
  }
  return made;
}

Result<Sources::Found> Sources::find(std::string_view reference) {
  reference = trim(reference);
  bool plain = is_utf8(reference) && std::ranges::all_of(reference, [](char c) {
                 return static_cast<unsigned char>(c) > ' ' && c != 0x7f;
               });
  if (reference.empty() || reference.size() > kLongestReference || !plain) {
    return fail(ErrorCode::invalid_argument, "that is no reference to a model")
        .hint("say llama3.2:3b, hf:OWNER/REPOSITORY:Q4_K_M, or https://host/model.gguf");
  }
  auto hub_page = hub_base_ + "/";
  for (std::string_view prefix :
       {std::string_view("hf:"), std::string_view("hf.co/"), std::string_view("huggingface.co/"),
        std::string_view("https://huggingface.co/"), std::string_view("https://hf.co/"),
        std::string_view(hub_page)}) {
    if (reference.starts_with(prefix)) {
      return Found{hub_, from_page(reference.substr(prefix.size()))};
    }
  }
  if (reference.starts_with("https://") || reference.starts_with("http://")) {
    return Found{files_, std::string(reference)};
  }
  if (reference.starts_with("ollama:")) return Found{ollama_, std::string(reference.substr(7))};
  auto slash = reference.find('/');
  if (slash == std::string_view::npos) return Found{ollama_, std::string(reference)};
  auto first = reference.substr(0, slash);
  auto rest = reference.substr(slash + 1);
  for (const auto& [name, source] : folders_) {
    if (name == first) return Found{source, std::string(rest)};
  }
  if (!is_host(first)) return Found{ollama_, std::string(reference)};
  CORRAL_TRY(auto url, split_url(fmt::format("https://{}", first)));
  return Found{std::shared_ptr<Source>(ollama_registry(web_, fmt::format("https://{}", first),
                                                       fmt::format("{}/", first))),
               std::string(rest)};
}

std::vector<std::shared_ptr<Source>> Sources::searchable() const {
  std::vector<std::shared_ptr<Source>> all = {hub_};
  for (const auto& [name, source] : folders_) all.push_back(source);
  return all;
}

std::vector<Sources::Named> Sources::all() const {
  std::vector<Named> named = {{"hf", "hub", hub_}, {"ollama", "registry", ollama_}};
  for (const auto& [name, source] : folders_) named.push_back({name, "folder", source});
  return named;
}

Result<Sources::Named> Sources::named(std::string_view name) const {
  std::vector<std::string> names;
  for (auto& each : all()) {
    if (each.name == name) return std::move(each);
    names.push_back(each.name);
  }
  return fail(ErrorCode::not_found, fmt::format("there is no source '{}'", name))
      .field("source")
      .hint(fmt::format("there are {}; sources.folders adds others", join(names, ", ")));
}

}  // namespace corral::models
