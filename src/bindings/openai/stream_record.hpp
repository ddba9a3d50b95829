// What a stream has said so far, and how to go on with it elsewhere after it broke off: the text
// becomes the beginning of the answer that another backend continues. Pure.
//
// Works for one choice of plain text; not for tool calls, several choices or token probabilities.
// A backend that cannot continue an assistant's message refuses `continue_final_message`, so no
// text is ever said twice. Sources: llama.cpp server README, vLLM's OpenAI-compatible server.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "inference/request.hpp"

namespace corral::bindings::openai {

class StreamRecord {
 public:
  // Whole events, as they are sent to the client.
  void note(std::string_view events);

  bool resumable() const { return started_ && plain_ && !finished_; }
  const std::string& text() const { return text_; }

  // The body of the request that goes on from here. invalid_argument where it cannot be made.
  Result<std::string> continued_body(const inference::Request& request);

  // Events of the continuation as parts of the stream that broke off: its id, no second beginning,
  // and the usage of both. Before they are noted.
  std::string spliced(std::string_view events) const;

 private:
  void note_chunk(const boost::json::object& chunk);
  void note_choice(const boost::json::object& choice);
  bool splice_chunk(boost::json::object& chunk) const;  // false: leave it out

  std::string text_;
  std::uint64_t tokens_ = 0;
  std::uint64_t carried_ = 0;  // of these, said when the continuation was asked for
  std::string id_;
  boost::json::value created_;
  bool started_ = false;
  bool plain_ = true;
  bool finished_ = false;
};

}  // namespace corral::bindings::openai
