#include "net/compression.hpp"

#include <brotli/decode.h>
#include <brotli/encode.h>
#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <array>
#include <memory>
#include <optional>

#include "base/text.hpp"

namespace corral::net {
namespace {

constexpr int kGzipLevel = 5, kBrotliQuality = 4, kZstdLevel = 3;
constexpr int kGzipWindow = 15 + 16;  // zlib's way to ask for the gzip format
constexpr std::size_t kChunk = 64 * 1024;
constexpr std::size_t kMost = 1u << 30;  // zlib counts in 32 bits

Error corrupt(std::string_view coding) {
  return fail(ErrorCode::invalid_argument,
              fmt::format("the body is not valid {} data, or cut short", coding));
}

Error over(std::size_t limit) {
  return fail(ErrorCode::too_large,
              fmt::format("the body decompresses to more than {}", format_bytes(limit)));
}

// --- which coding

// A q-value in thousandths (RFC 9110 section 12.4.2); nullopt if it is none.
std::optional<int> quality(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return std::nullopt;
  int value = (text[0] - '0') * 1000;
  if (text.size() == 1) return value;
  if (text[1] != '.') return std::nullopt;
  int place = 100;
  for (char c : text.substr(2)) {
    if (c < '0' || c > '9') return std::nullopt;
    value += (c - '0') * place;
    place /= 10;
  }
  return value <= 1000 ? std::optional(value) : std::nullopt;
}

struct Wish {
  std::string_view name;
  int quality = 1000;
};

Wish parse_wish(std::string_view item) {
  Wish wish;
  bool first = true;
  for (auto part : split(item, ';')) {
    part = trim(part);
    if (std::exchange(first, false)) {
      wish.name = part;
    } else if (part.size() > 2 && (part[0] == 'q' || part[0] == 'Q') && part[1] == '=') {
      wish.quality = quality(part.substr(2)).value_or(0);  // not understood: not wanted
    }
  }
  return wish;
}

// --- gzip

Result<std::string> gzip(std::string_view data) {
  z_stream stream{};
  if (deflateInit2(&stream, kGzipLevel, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    return fail(ErrorCode::internal, "no memory to compress");
  }
  std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, deflateEnd);
  std::string out(deflateBound(&stream, static_cast<uLong>(data.size())), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));  // zlib reads only
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) {
    return fail(ErrorCode::internal, "gzip compression failed");
  }
  out.resize(stream.total_out);
  return out;
}

// Several members after each other are one body (RFC 1952 section 2.2).
Result<std::string> gunzip(std::string_view data, std::size_t limit) {
  z_stream stream{};
  if (inflateInit2(&stream, kGzipWindow) != Z_OK) {
    return fail(ErrorCode::internal, "no memory to decompress");
  }
  std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, inflateEnd);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  std::string out;
  std::array<char, kChunk> chunk;
  int status = Z_OK;
  while (status != Z_STREAM_END || stream.avail_in > 0) {
    if (status == Z_STREAM_END && inflateReset(&stream) != Z_OK) return corrupt("gzip");
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream.avail_out = kChunk;
    status = inflate(&stream, Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END) return corrupt("gzip");
    std::size_t made = kChunk - stream.avail_out;
    if (made > limit - out.size()) return over(limit);
    out.append(chunk.data(), made);
  }
  return out;
}

// --- brotli

Result<std::string> brotli(std::string_view data) {
  std::size_t size = std::max<std::size_t>(BrotliEncoderMaxCompressedSize(data.size()), 64);
  std::string out(size, '\0');
  auto done = BrotliEncoderCompress(kBrotliQuality, BROTLI_DEFAULT_WINDOW, BROTLI_MODE_TEXT,
                                    data.size(), reinterpret_cast<const std::uint8_t*>(data.data()),
                                    &size, reinterpret_cast<std::uint8_t*>(out.data()));
  if (done != BROTLI_TRUE) return fail(ErrorCode::internal, "brotli compression failed");
  out.resize(size);
  return out;
}

Result<std::string> unbrotli(std::string_view data, std::size_t limit) {
  std::unique_ptr<BrotliDecoderState, void (*)(BrotliDecoderState*)> state(
      BrotliDecoderCreateInstance(nullptr, nullptr, nullptr), BrotliDecoderDestroyInstance);
  if (!state) return fail(ErrorCode::internal, "no memory to decompress");
  const auto* input = reinterpret_cast<const std::uint8_t*>(data.data());
  std::size_t left = data.size();
  std::string out;
  std::array<char, kChunk> chunk;
  auto status = BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT;
  while (status == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT) {
    auto* output = reinterpret_cast<std::uint8_t*>(chunk.data());
    std::size_t room = kChunk;
    status = BrotliDecoderDecompressStream(state.get(), &left, &input, &room, &output, nullptr);
    std::size_t made = kChunk - room;
    if (made > limit - out.size()) return over(limit);
    out.append(chunk.data(), made);
  }
  if (status != BROTLI_DECODER_RESULT_SUCCESS || left > 0) return corrupt("brotli");
  return out;
}

// --- zstd

Result<std::string> zstd(std::string_view data) {
  std::string out(ZSTD_compressBound(data.size()), '\0');
  std::size_t size = ZSTD_compress(out.data(), out.size(), data.data(), data.size(), kZstdLevel);
  if (ZSTD_isError(size)) return fail(ErrorCode::internal, "zstd compression failed");
  out.resize(size);
  return out;
}

Result<std::string> unzstd(std::string_view data, std::size_t limit) {
  std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  if (!context) return fail(ErrorCode::internal, "no memory to decompress");
  // RFC 8878 section 3.1.1.1.2 asks for 8 MiB of window; a peer may not make us hold more.
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, 23);
  ZSTD_inBuffer input{data.data(), data.size(), 0};
  std::string out;
  std::array<char, kChunk> chunk;
  std::size_t pending = 1;  // 0 at the end of a frame
  bool full = false;
  while (input.pos < input.size || full) {
    ZSTD_outBuffer output{chunk.data(), kChunk, 0};
    pending = ZSTD_decompressStream(context.get(), &output, &input);
    if (ZSTD_isError(pending)) return corrupt("zstd");
    if (output.pos > limit - out.size()) return over(limit);
    out.append(chunk.data(), output.pos);
    full = output.pos == kChunk && pending != 0;
  }
  if (pending != 0) return corrupt("zstd");
  return out;
}

}  // namespace

std::string_view to_string(Coding coding) {
  switch (coding) {
    case Coding::identity: return "identity";
    case Coding::gzip: return "gzip";
    case Coding::brotli: return "br";
    case Coding::zstd: return "zstd";
  }
  return "identity";
}

Coding negotiate(std::string_view accept_encoding) {
  struct Offer {
    Coding coding;
    std::optional<int> quality;
  };
  Offer offers[] = {{Coding::brotli, {}}, {Coding::zstd, {}}, {Coding::gzip, {}}};
  std::optional<int> any, identity;
  for (auto item : split(accept_encoding, ',')) {
    Wish wish = parse_wish(item);
    if (wish.name == "*") any = wish.quality;
    if (iequals(wish.name, "identity")) identity = wish.quality;
    for (auto& offer : offers) {
      bool old_name = offer.coding == Coding::gzip && iequals(wish.name, "x-gzip");
      if (iequals(wish.name, to_string(offer.coding)) || old_name) offer.quality = wish.quality;
    }
  }
  // Without a word identity is acceptable, but less wanted than any coding that was named.
  Offer best{Coding::identity, identity.value_or(0)};
  for (const auto& offer : offers) {
    int wanted = offer.quality.value_or(any.value_or(0));
    bool better = best.coding == Coding::identity && wanted > 0 ? wanted >= *best.quality
                                                                : wanted > *best.quality;
    if (better) best = {offer.coding, wanted};
  }
  return best.coding;
}

Result<std::string> compress(Coding coding, std::string_view data) {
  if (data.size() > kMost) return fail(ErrorCode::too_large, "too much to compress at once");
  switch (coding) {
    case Coding::identity: return std::string(data);
    case Coding::gzip: return gzip(data);
    case Coding::brotli: return brotli(data);
    case Coding::zstd: return zstd(data);
  }
  return fail(ErrorCode::internal, "no such content coding");
}

Result<std::string> decompress(Coding coding, std::string_view data, std::size_t limit) {
  if (data.size() > kMost) return fail(ErrorCode::too_large, "too much to decompress at once");
  switch (coding) {
    case Coding::identity:
      if (data.size() > limit) return over(limit);
      return std::string(data);
    case Coding::gzip: return gunzip(data, limit);
    case Coding::brotli: return unbrotli(data, limit);
    case Coding::zstd: return unzstd(data, limit);
  }
  return fail(ErrorCode::internal, "no such content coding");
}

}  // namespace corral::net
