// Files of one folder over HTTP: GET and HEAD, ETag and Last-Modified with 304, one byte range
// (206, 416), content type by suffix with nosniff, index.html for folders. Nothing outside the
// folder is reachable: "..", encoded slashes, NUL, hidden files and links that lead out are 404.
#pragma once

#include <string>

#include "net/http_server.hpp"

namespace corral::net {

class StaticFiles {
 public:
  StaticFiles(std::string root, BlockingPool& pool);
  // Answers 404 itself when there is no such file.
  Task<void> serve(HttpExchange& exchange, std::string path);

 private:
  std::string root_;
  BlockingPool& pool_;
};

}  // namespace corral::net
