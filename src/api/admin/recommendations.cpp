#include "api/admin/recommendations.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <set>

#include "api/admin/replies.hpp"
#include "base/text.hpp"

namespace corral::api::admin {
namespace {

namespace bj = boost::json;

constexpr std::size_t kLeftOutShown = 5;

bool has_words(std::string_view name, std::string_view words) {
  const std::string low = to_lower(name);
  const std::string wanted = to_lower(words);
  return std::ranges::all_of(split(wanted, ' '),
                             [&](std::string_view word) { return low.contains(word); });
}

bj::object describe(const models::Recommendation& fit) {
  return {{"name", fit.name},       {"device", fit.device}, {"memory_bytes", fit.memory},
          {"context", fit.context}, {"score", fit.score},   {"why", fit.why}};
}

struct Gathered {
  std::vector<models::Candidate> candidates;
  std::set<std::string> here;                           // names
  std::map<std::string, models::RemoteInfo> elsewhere;  // by reference
  std::size_t unknown = 0;                              // of which too little is known
};

Gathered gather(const models::FoundModels& found, const scheduler::Outlook& outlook,
                const RecommendWish& wish) {
  Gathered all;
  std::set<std::string> origins;
  static const std::vector<models::ModelEntry> kNone;
  for (const auto& entry : outlook.models ? outlook.models->entries() : kNone) {
    origins.insert(entry.origin);
    auto candidate = models::candidate_of(entry);
    if (!wish.here || !candidate || !has_words(entry.name, wish.words)) continue;
    all.here.insert(candidate->name);
    all.candidates.push_back(std::move(*candidate));
  }
  for (const auto& info : found.models) {
    // What was fetched from there is among those that are here.
    if (wish.here && origins.contains(info.reference)) continue;
    if (all.here.contains(info.reference) || all.elsewhere.contains(info.reference)) continue;
    auto candidate = models::candidate_of(info);
    if (!candidate) {
      ++all.unknown;
      continue;
    }
    all.elsewhere.emplace(info.reference, info);
    all.candidates.push_back(std::move(*candidate));
  }
  return all;
}

// The smallest first: they are the nearest to fitting.
bj::array left_out(std::vector<models::Candidate> candidates, const scheduler::Outlook& outlook) {
  std::ranges::sort(candidates, {}, &models::Candidate::bytes);
  bj::array out;
  for (const auto& candidate : candidates) {
    if (out.size() == kLeftOutShown) break;
    auto fit = models::judge_fit(candidate, outlook.machine, outlook.wishes);
    if (fit) continue;
    out.push_back(bj::object{{"name", candidate.name},
                             {"why", fit.error().message},
                             {"hint", text_or_null(fit.error().hint_text)}});
  }
  return out;
}

}  // namespace

boost::json::object recommendations(const models::FoundModels& found,
                                    const scheduler::Outlook& outlook, const RecommendWish& wish) {
  auto all = gather(found, outlook, wish);
  auto best = models::recommend(all.candidates, outlook.machine, outlook.wishes);
  const std::size_t fitting = best.size();
  if (best.size() > wish.most) best.resize(wish.most);
  bj::array list;
  for (const auto& fit : best) {
    auto each = describe(fit);
    each["here"] = all.here.contains(fit.name);
    auto info = all.elsewhere.find(fit.name);
    bool gated = info != all.elsewhere.end() && info->second.gated;
    each["gated"] = gated;
    if (info != all.elsewhere.end()) each["license"] = text_or_null(info->second.license);
    list.push_back(std::move(each));
  }
  bj::array warnings;
  for (const auto& error : found.problems) {
    warnings.push_back(bj::string(error.param + ": " + error.message));
  }
  return {{"models", std::move(list)},
          {"looked_at", all.candidates.size() + all.unknown},
          {"fitting", fitting},
          {"of_unknown_size", all.unknown},
          {"left_out", left_out(std::move(all.candidates), outlook)},
          {"memory_bytes", outlook.machine.memory},
          {"warnings", std::move(warnings)}};
}

boost::json::value describe_fit(const std::optional<models::Candidate>& candidate,
                                const scheduler::Outlook& outlook) {
  if (!candidate) return nullptr;
  auto fit = models::judge_fit(*candidate, outlook.machine, outlook.wishes);
  if (!fit) {
    return bj::object{{"fits", false},
                      {"why", fit.error().message},
                      {"hint", text_or_null(fit.error().hint_text)}};
  }
  auto out = describe(*fit);
  out["fits"] = true;
  return out;
}

}  // namespace corral::api::admin
