// Any server that speaks OpenAI's API: OpenAI itself, vLLM, LM Studio, another Corral, ...
// llama.cpp's server is one with habits of its own: see Quirks.
#pragma once

#include "bindings/binding.hpp"

namespace corral::bindings::openai {

struct Quirks {
  // A disconnect is only noticed while something is written to the client. So every text answer is
  // asked for as a stream, and prefill progress is asked for too, which gives writes in prefill.
  bool always_stream = false;
  bool prefill_progress = false;
  std::string probe_path = "/v1/models";  // answers quickly, also while all slots are busy
};

class OpenAiBinding final : public Binding {
 public:
  OpenAiBinding(std::string kind, Quirks quirks) : kind_(std::move(kind)), quirks_(quirks) {}

  std::string_view kind() const override { return kind_; }
  net::Task<Result<std::unique_ptr<Answer>>> open(const EndpointAddress& address,
                                                  const inference::Request& request,
                                                  CallTimeouts timeouts) const override;
  net::Task<Result<void>> probe(const EndpointAddress& address,
                                std::chrono::milliseconds timeout) const override;
  net::Task<Result<void>> validate(const EndpointAddress& address, std::string model,
                                   CallTimeouts timeouts) const override;

 private:
  std::string kind_;
  Quirks quirks_;
};

}  // namespace corral::bindings::openai
