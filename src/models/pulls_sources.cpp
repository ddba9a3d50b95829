// What pulls tell about the sources themselves.
#include "models/pulls_impl.hpp"

namespace corral::models {
namespace {

// A person waits for the answer.
constexpr std::chrono::seconds kProbe{3};

}  // namespace

net::Task<Result<RemoteListing>> Pulls::listing(std::string source) {
  std::function<net::Task<Result<RemoteListing>>()> work = [impl = impl_.get(), source] {
    return impl->listing(source);
  };
  return on_shard(impl_->parts.shard, impl_->tasks, std::move(work));
}

net::Task<Result<RemoteInfo>> Pulls::info(std::string reference) {
  std::function<net::Task<Result<RemoteInfo>>()> work = [impl = impl_.get(), reference] {
    return impl->info(reference);
  };
  return on_shard(impl_->parts.shard, impl_->tasks, std::move(work));
}

net::Task<Result<FoundModels>> Pulls::search_in(std::string words, std::vector<std::string> names,
                                                std::size_t most) {
  std::function<net::Task<Result<FoundModels>>()> work = [impl = impl_.get(), words, names, most] {
    return impl->search_in(words, names, most);
  };
  return on_shard(impl_->parts.shard, impl_->tasks, std::move(work));
}

net::Task<Result<std::vector<SourceView>>> Pulls::sources(Ask ask) {
  std::function<net::Task<Result<std::vector<SourceView>>>()> work = [impl = impl_.get(), ask] {
    return impl->view_sources(ask);
  };
  return on_shard(impl_->parts.shard, impl_->tasks, std::move(work));
}

Error unreachable_hint(Error error) {
  const bool silent = error.code == ErrorCode::unavailable || error.code == ErrorCode::timeout;
  if (silent && error.hint_text.empty()) {
    error.hint_text = "corral sources shows which sources answer; their addresses are settings";
  }
  return error;
}

net::Task<Result<RemoteListing>> Pulls::Impl::listing(std::string source) {
  auto from = sources;
  CORRAL_CO_TRY(auto named, from->named(source));
  co_return co_await named.source->all();
}

net::Task<Result<RemoteInfo>> Pulls::Impl::info(std::string reference) {
  auto from = sources;
  CORRAL_CO_TRY(auto found, from->find(reference));
  auto info = co_await found.source->info(found.reference);
  if (!info) co_return unreachable_hint(found.source->explain(std::move(info).error()));
  co_return info;
}

net::Task<Result<FoundModels>> Pulls::Impl::search_in(std::string words,
                                                      std::vector<std::string> names,
                                                      std::size_t most) {
  auto from = sources;
  FoundModels all;
  for (const auto& name : names) {
    CORRAL_CO_TRY(auto named, from->named(name));
    auto found = co_await named.source->search(words, most);
    if (found) {
      all.models.insert(all.models.end(), found->begin(), found->end());
    } else {
      Error error = std::move(found).error();
      error.param = name;
      all.problems.push_back(std::move(error));
    }
  }
  co_return all;
}

net::Task<Result<std::vector<SourceView>>> Pulls::Impl::view_sources(Pulls::Ask ask) {
  // Sources of its own, so that one that is silent is not waited for as long as a pull would.
  CORRAL_CO_TRY(auto from, Sources::make(settings->sources, kProbe, parts.files));
  std::vector<SourceView> all;
  for (auto& each : from->all()) {
    SourceView view{each.name, each.kind, each.source->label(), each.source->address(), {}};
    if (ask == Pulls::Ask::each) {
      auto there = co_await each.source->probe();
      if (!there) view.problem = std::move(there).error();
    }
    all.push_back(std::move(view));
  }
  co_return all;
}

}  // namespace corral::models
