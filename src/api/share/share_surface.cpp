#include "api/share/share_surface.hpp"

#include <fmt/core.h>

#include <filesystem>

#include "api/errors.hpp"
#include "models/sha256.hpp"
#include "models/share_index.hpp"
#include "net/static_files.hpp"

namespace corral::api::share {
namespace {

// A change is seen that late; and however often others ask, the catalog is read so often at most.
constexpr std::chrono::seconds kFresh{1};

Error turned_off() {
  return fail(ErrorCode::not_found, "this server gives no models out")
      .hint("models.share: true in its configuration lets other Corral servers fetch them");
}

// "sha256-<hex>/name" -> "sha256:<hex>"; empty when it is something else.
std::string digest_of(std::string_view parameter) {
  constexpr std::string_view kStart = "sha256-";
  auto blob = parameter.substr(0, parameter.find('/'));
  if (!blob.starts_with(kStart)) return {};
  std::string digest = fmt::format("sha256:{}", blob.substr(kStart.size()));
  return models::is_digest(digest) ? digest : std::string();
}

}  // namespace

void ShareSurface::add_routes(Router& router) {
  router.add(
      {"GET", "/share/v1/index.json", "share", [this](Call& call) { return serve_index(call); }});
  router.add(
      {"GET", "/share/v1/blobs/{...}", "share", [this](Call& call) { return serve_blob(call); }});
}

Result<ShareSurface::OfferPtr> ShareSurface::make_offer(const models::Snapshot& list) const {
  auto fresh = std::make_shared<Offer>();
  std::vector<models::SharedModel> shared;
  models::CatalogQuery query{.after = {}, .search = {}, .limit = models::Catalog::kLongestPage};
  for (;;) {
    CORRAL_TRY(auto page, parts_.catalog.list(query));
    for (const auto& model : page) {
      // The models folder's model of that name is the one that is served.
      const auto* served = list ? list->find_exact(model.name) : nullptr;
      if (served != nullptr && served->version == 0) continue;
      if (auto one = models::shared_model(model)) shared.push_back(std::move(*one));
    }
    if (page.size() < static_cast<std::size_t>(query.limit)) break;
    query.after = page.back().name;
  }
  CORRAL_TRY(auto digests, parts_.index.digests());
  static const std::vector<models::ModelEntry> kNone;
  for (const auto& entry : list ? list->entries() : kNone) {
    if (entry.version != 0) continue;
    auto one = models::shared_model(entry, digests);
    if (!one) continue;
    for (const auto& file : entry.files) {
      fresh->folder_files.emplace(digests.at(file.path.string()), file.path.string());
    }
    if (one->files.size() > entry.files.size()) {
      const auto path = entry.projector->path.string();
      fresh->folder_files.emplace(digests.at(path), path);
    }
    shared.push_back(std::move(*one));
  }
  fresh->index = models::share_index(shared);
  models::Sha256 hash;
  hash.update(fresh->index);
  fresh->etag = fmt::format("\"{}\"", hash.digest());
  fresh->made = parts_.clock.now();
  return fresh;
}

net::Task<Result<ShareSurface::OfferPtr>> ShareSurface::offer() {
  {
    std::lock_guard lock(mutex_);
    if (kept_ && parts_.clock.now() - kept_->made < kFresh) co_return kept_;
  }
  auto outlook = co_await parts_.scheduler.outlook();
  std::function<Result<OfferPtr>()> make = [this, list = outlook.models] {
    return make_offer(list);
  };
  CORRAL_CO_TRY(auto fresh, co_await net::run_blocking(parts_.pool, std::move(make)));
  std::lock_guard lock(mutex_);
  kept_ = fresh;
  co_return fresh;
}

net::Task<void> ShareSurface::serve_index(Call& call) {
  net::HttpReply reply;
  if (!enabled_) {
    reply = problem(turned_off());
  } else {
    auto offered = co_await offer();
    if (!offered) {
      reply = problem(offered.error());
    } else {
      reply.headers.set("etag", (*offered)->etag);
      reply.headers.set("cache-control", "no-cache");
      auto known = call.request().headers.get("if-none-match");
      if (known && *known == (*offered)->etag) {
        reply.status = 304;
      } else {
        reply.body = (*offered)->index;
      }
    }
  }
  (void)co_await call.exchange.reply(std::move(reply));
}

// Where the bytes lie. A blob that an index of a moment ago named is given out still, so that a
// download under way ends well.
net::Task<Result<std::string>> ShareSurface::path_of(std::string digest) {
  std::function<Result<std::string>()> look = [this, digest]() -> Result<std::string> {
    CORRAL_TRY(auto damaged, parts_.catalog.blob_problem(digest));
    auto path = parts_.blobs.path_of(digest);
    std::error_code error;
    if (damaged || !std::filesystem::is_regular_file(path, error)) return std::string();
    return path.string();
  };
  CORRAL_CO_TRY(auto path, co_await net::run_blocking(parts_.pool, std::move(look)));
  if (!path.empty()) co_return path;
  CORRAL_CO_TRY(auto offered, co_await offer());
  auto found = offered->folder_files.find(digest);
  if (found != offered->folder_files.end()) co_return found->second;
  co_return fail(ErrorCode::not_found, "this server has no such file to give out");
}

net::Task<void> ShareSurface::serve_blob(Call& call) {
  auto digest = digest_of(call.parameter);
  Result<std::string> path = std::unexpected(turned_off());
  if (enabled_ && digest.empty()) {
    path = fail(ErrorCode::not_found, "the path names no file by its digest");
  } else if (enabled_) {
    path = co_await path_of(digest);
  }
  if (!path) {
    (void)co_await call.exchange.reply(problem(path.error()));
    co_return;
  }
  net::ChosenFile file;
  file.path = std::move(*path);
  file.etag = fmt::format("\"{}\"", digest);
  co_await net::send_file(call.exchange, parts_.pool, std::move(file));
}

}  // namespace corral::api::share
