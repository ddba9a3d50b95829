// The fake Docker Engine's part of HTTP/1.1: whole requests from a socket, answers and chunks to
// it, and what stands in a query. Enough for Docker's clients, and no more.
//
// Thread rule: free functions; they block on the socket.
#pragma once

#include <fmt/core.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace corral::engines::docker {

inline std::string answer(int status, std::string_view body) {
  return fmt::format(
      "HTTP/1.1 {} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}", status,
      body.size(), body);
}
// A piece of a log: 1 is what the program printed, 2 what it complained of.
inline std::string frame(char stream, std::string_view text) {
  std::string head(8, '\0');
  head[0] = stream;
  head[6] = static_cast<char>(text.size() >> 8);
  head[7] = static_cast<char>(text.size() & 0xFF);
  return head + std::string(text);
}

inline std::string read_request(int socket, std::string& pending) {
  char buffer[16 * 1024];
  for (;;) {
    auto end = pending.find("\r\n\r\n");
    if (end != std::string::npos) {
      std::size_t size = end + 4;
      auto at = pending.find("Content-Length: ");
      if (at < end) size += std::stoul(pending.substr(at + 16));
      if (pending.size() >= size) {
        std::string request = pending.substr(0, size);
        pending.erase(0, size);
        return request;
      }
    }
    auto got = ::recv(socket, buffer, sizeof buffer, 0);
    if (got <= 0) return {};
    pending.append(buffer, static_cast<std::size_t>(got));
  }
}

inline bool send_all(int socket, std::string_view text) {
  while (!text.empty()) {
    auto sent = ::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

inline bool send_chunk(int socket, std::string_view text) {
  return send_all(socket, fmt::format("{:x}\r\n", text.size())) && send_all(socket, text) &&
         send_all(socket, "\r\n");
}

inline bool gone(int socket) {
  char byte = 0;
  return ::recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

inline std::string decoded(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      out += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

// What stands behind `name=` in the query, decoded; empty: nothing.
inline std::string value_of(const std::string& target, const std::string& name) {
  auto at = target.find('?');
  while (at != std::string::npos) {
    auto end = target.find('&', at + 1);
    auto pair = target.substr(at + 1, end == std::string::npos ? end : end - at - 1);
    if (pair.starts_with(name + "=")) return decoded(pair.substr(name.size() + 1));
    at = end;
  }
  return {};
}
// As Docker reads a flag of the query.
inline bool is_set(const std::string& target, const std::string& name, bool otherwise = false) {
  auto value = value_of(target, name);
  if (value.empty()) return otherwise;
  return value != "0" && value != "false" && value != "False";
}

// {"label":["name","name=value"]}: all of them; or {"label":{"name":true}}, as older clients say.
inline bool matches(const boost::json::object& labels, const std::string& filters) {
  if (filters.empty()) return true;
  auto parsed = boost::json::parse(filters);
  const auto* wanted = parsed.as_object().if_contains("label");
  if (wanted == nullptr) return true;
  std::vector<std::string> all;
  if (wanted->is_array()) {
    for (const auto& each : wanted->get_array()) all.emplace_back(each.as_string());
  } else {
    for (const auto& each : wanted->as_object()) all.emplace_back(each.key());
  }
  return std::ranges::all_of(all, [&](const std::string& each) {
    auto equals = each.find('=');
    const auto* found = labels.if_contains(each.substr(0, equals));
    if (found == nullptr) return false;
    return equals == std::string::npos || found->as_string() == each.substr(equals + 1);
  });
}

}  // namespace corral::engines::docker
