// Which handler answers a method and a path. Built once, then read by all shards.
//
// Patterns: an exact path, or one with a single "{}" that matches one segment ("/a/{}/b"), or a
// trailing "{...}" that matches the rest, slashes included. GET answers HEAD too.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "api/call.hpp"
#include "base/error.hpp"

namespace corral::api {

struct Route {
  std::string method;
  std::string pattern;  // also the label in metrics
  std::string surface;  // openai, admin, ops
  CallHandler handler;
  bool open = false;  // needs no API key
};

class Router {
 public:
  void add(Route route);

  struct Match {
    const Route* route = nullptr;  // nullptr: nothing there
    std::string parameter;
    std::string allowed;  // set when only the method is wrong: "GET, HEAD"
  };
  Match match(std::string_view method, std::string_view path) const;

 private:
  struct Pattern {
    std::string before, after;
    bool rest = false;
    const Route* route;
  };
  static bool matches(const Pattern& pattern, std::string_view path, std::string_view& parameter);

  std::vector<std::unique_ptr<Route>> routes_;
  // By path; a few dozen, so that a look-up needs no string of its own.
  std::multimap<std::string, const Route*, std::less<>> exact_;
  std::vector<Pattern> patterns_;
};

}  // namespace corral::api
