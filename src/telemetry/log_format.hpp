// How a log record looks as one line of text or JSON. Pure functions; the sinks call them.
//
// Text:  2026-11-21T01:02:03.456Z INFO  engines engine ready model=tiny port=4711
// JSON:  {"time":"...","level":"info","component":"engines","message":"engine ready","model":...}
//
// Whatever a peer may have put into a message or a value stays on its line and moves no cursor:
// control characters (C0, DEL, C1) and bytes that are no UTF-8 are written as escapes.
// Thread rule: pure.
#pragma once

#include <chrono>
#include <string>

#include "telemetry/log.hpp"

namespace corral::telemetry {

enum class Colour { off, on };  // of the level, by ANSI escapes

// Each appends one line with its line feed.
void append_text_line(std::string& out, std::chrono::system_clock::time_point time,
                      const LogRecord& record, Colour colour);
void append_json_line(std::string& out, std::chrono::system_clock::time_point time,
                      const LogRecord& record);

// RFC 3339 in UTC with milliseconds.
void append_timestamp(std::string& out, std::chrono::system_clock::time_point time);

}  // namespace corral::telemetry
