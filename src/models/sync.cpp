#include "models/sync.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.hpp"

namespace corral::models {

Result<std::vector<HereModel>> models_here(Catalog& catalog) {
  std::vector<HereModel> all;
  CatalogQuery query{.after = {}, .search = {}, .limit = Catalog::kLongestPage};
  for (;;) {
    CORRAL_TRY(auto page, catalog.list(query));
    for (const auto& model : page) {
      HereModel here{model.name, model.origin, model.revision, {}};
      here.files.reserve(model.files.size());
      for (const auto& stored : model.files) {
        here.files.push_back(
            {stored.file.role, stored.file.digest, stored.file.bytes, stored.problem.empty()});
      }
      all.push_back(std::move(here));
    }
    if (page.size() < static_cast<std::size_t>(query.limit)) return all;
    query.after = page.back().name;
  }
}

net::Task<Result<SyncReport>> Sync::run(SyncRequest request) {
  CORRAL_CO_TRY(auto listing, co_await pulls_.listing(request.wish.source));
  std::function<Result<std::vector<HereModel>>()> look = [this] { return models_here(catalog_); };
  CORRAL_CO_TRY(auto here, co_await net::run_blocking(pool_, std::move(look)));
  std::vector<std::string> refused;
  refused.reserve(listing.refused.size());
  for (const auto& each : listing.refused) refused.push_back(each.param);
  auto plan = plan_sync(listing.models, here, request.wish, refused);
  if (plan.items.empty() && !request.wish.patterns.empty()) {
    co_return fail(ErrorCode::not_found,
                   fmt::format("'{}' has no model named {}", request.wish.source,
                               join(request.wish.patterns, " or ")))
        .field("patterns")
        .hint(fmt::format("corral sync {} --dry-run shows what it has", request.wish.source));
  }
  SyncReport report;
  report.refused = std::move(listing.refused);
  report.to_fetch = plan.to_fetch;
  report.steps.reserve(plan.items.size());
  for (auto& item : plan.items) {
    SyncStep step{std::move(item), {}, {}, false};
    if (!request.dry_run && step.item.fetched()) {
      // Under the name that it has here, if that is another one.
      auto view = co_await pulls_.pull({step.item.reference, step.item.here_as, request.author});
      if (view) {
        step.operation = view->id;
      } else {
        step.error = std::move(view).error();
      }
    } else if (!request.dry_run && request.remove_gone && step.item.state == SyncState::gone) {
      std::function<Result<void>()> remove = [this, name = step.item.name] {
        return catalog_.remove(name);
      };
      auto removed = co_await net::run_blocking(pool_, std::move(remove));
      step.removed = removed.has_value();
      if (!removed) step.error = std::move(removed).error();
    }
    report.steps.push_back(std::move(step));
  }
  co_return report;
}

}  // namespace corral::models
