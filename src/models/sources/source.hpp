// Where models come from, behind one interface: what a name means there, and where its bytes are.
//
// Thread rule: belong to one shard. Lifecycle: made by `Sources`; a reload makes new ones.
// Example:
//   CORRAL_CO_TRY(auto plan, co_await source.resolve(reference));
//   for (const RemoteFile& file : plan.files) fetch(file.url, file.bytes, file.digest);
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/sources/remote_model.hpp"
#include "net/task.hpp"

namespace corral::models {

// What is worth knowing before a model is pulled. Empty or nothing where the source does not say.
struct RemoteInfo {
  std::string reference;  // what `pull` takes
  std::string description;
  std::string license;
  std::string architecture;
  std::string parameters;  // "3.2B"
  std::string quantization;
  std::string updated;  // RFC 3339
  std::optional<std::uint64_t> bytes;
  std::optional<std::uint64_t> context_length;
  std::optional<std::uint64_t> downloads;
  std::optional<std::uint64_t> likes;
  bool gated = false;  // needs a token and an accepted licence
};

// All that a source has: see `Source::all`.
struct RemoteListing {
  std::vector<RemoteModel> models;
  std::vector<Error> refused;  // entries that are damaged or hostile
};

class Source {
 public:
  virtual ~Source() = default;
  virtual std::string label() const = 0;              // "Hugging Face"
  virtual std::string address() const { return {}; }  // empty: none of its own
  // Does it answer? The error says why not.
  virtual net::Task<Result<void>> probe() { co_return Result<void>(); }
  // Every model there, as `resolve` gives them. unsupported: there are too many to list.
  virtual net::Task<Result<RemoteListing>> all();
  // Models whose name or description has `words`, at most `most`, best first. unsupported: the
  // source has no search.
  virtual net::Task<Result<std::vector<RemoteInfo>>> search(std::string words,
                                                            std::size_t most) = 0;
  // `reference` as Sources::find hands it on. not_found, unauthenticated and forbidden with a
  // hint; upstream: rubbish.
  virtual net::Task<Result<RemoteInfo>> info(std::string reference) = 0;
  virtual net::Task<Result<RemoteModel>> resolve(std::string reference) = 0;
  // The token that its files need, for the origin of the file's URL; empty: none.
  virtual std::string token() const { return {}; }
  // A refused file, in the words of the source: what to do about it.
  virtual Error explain(Error error) const { return error; }
};

// Weights first, in the order that they have; then the other roles.
void sort_by_role(std::vector<RemoteFile>& files);

// A name that may become a file's: one segment, no control characters, not hidden. upstream when
// it is anything else, since it is the source that says it.
Result<void> check_file_name(std::string_view name);
// A path below a folder: segments that are such names.
Result<void> check_file_path(std::string_view path);
// The last segment.
std::string_view file_part(std::string_view path);
// "sha256:" before 64 hexadecimal digits in any case; empty when it is none.
std::string digest_of_hex(std::string_view hex);

}  // namespace corral::models
