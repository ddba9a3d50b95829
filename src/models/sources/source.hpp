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

#include "models/catalog_types.hpp"
#include "net/task.hpp"

namespace corral::models {

struct RemoteFile {
  FileRole role = FileRole::weights;
  std::string name;  // as the source calls it; a plain file name
  std::string url;
  std::optional<std::uint64_t> bytes;
  std::string digest;  // "sha256:..."; empty: the source does not say
};

// All that a pull needs to know about one model.
struct RemoteModel {
  std::string name;      // as the catalog will call it
  std::string origin;    // a reference that can be pulled again
  std::string revision;  // a commit, a manifest's digest; may be empty
  std::string license;
  std::vector<RemoteFile> files;  // weights in the order of their parts
};

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

class Source {
 public:
  virtual ~Source() = default;
  virtual std::string label() const = 0;  // "Hugging Face"
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
