// Files of one folder over HTTP: GET and HEAD, ETag and Last-Modified with 304, one byte range
// (206, 416), content type by suffix with nosniff, index.html for folders. Nothing outside the
// folder is reachable: "..", encoded slashes, NUL, hidden files and links that lead out are 404.
//
// `send_file` sends one file that the caller chose, in bounded memory whatever its size.
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

struct ChosenFile {
  std::string path;
  std::string etag;  // strong, with its quotes: the name of its very bytes (RFC 9110 section 8.8.3)
  std::string type = "application/octet-stream";
};
// As `serve`, with If-Range by the tag; 404 when the file is not there.
Task<void> send_file(HttpExchange& exchange, BlockingPool& pool, ChosenFile file);

}  // namespace corral::net
