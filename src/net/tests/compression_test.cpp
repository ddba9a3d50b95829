#include "net/compression.hpp"

#include <gtest/gtest.h>

namespace corral::net::compression_test {
namespace {

constexpr Coding kAll[] = {Coding::identity, Coding::gzip, Coding::brotli, Coding::zstd};
constexpr Coding kReal[] = {Coding::gzip, Coding::brotli, Coding::zstd};

std::string sample(std::size_t size) {
  std::string text;
  for (int i = 0; text.size() < size; ++i) text += "line " + std::to_string(i * 7919) + "\n";
  text.resize(size);
  return text;
}

TEST(Compression, NegotiatesTheBestThatIsAccepted) {
  EXPECT_EQ(negotiate(""), Coding::identity);
  EXPECT_EQ(negotiate("gzip"), Coding::gzip);
  EXPECT_EQ(negotiate("x-gzip"), Coding::gzip);
  EXPECT_EQ(negotiate("gzip, deflate, br, zstd"), Coding::brotli);
  EXPECT_EQ(negotiate("GZIP , ZSTD"), Coding::zstd);
  EXPECT_EQ(negotiate("br;q=0.5, gzip;q=0.8"), Coding::gzip);
  EXPECT_EQ(negotiate("br;q=0, gzip"), Coding::gzip);
  EXPECT_EQ(negotiate("*"), Coding::brotli);
  EXPECT_EQ(negotiate("*;q=0.1, br;q=0"), Coding::zstd);
  EXPECT_EQ(negotiate("*;q=0"), Coding::identity);
  EXPECT_EQ(negotiate("deflate, compress"), Coding::identity);
  EXPECT_EQ(negotiate("identity;q=1, gzip;q=0.5"), Coding::identity);
  EXPECT_EQ(negotiate("identity, gzip"), Coding::gzip);
  EXPECT_EQ(negotiate("identity;q=0.5, gzip;q=0.8, br;q=0.8"), Coding::brotli);
}

TEST(Compression, TreatsBadQualitiesAsRefusals) {
  for (const char* text :
       {"gzip;q=", "gzip;q=2", "gzip;q=1.5", "gzip;q=x", "gzip;q=0.0.1", "gzip;q=0,5", "gzip;q=-1",
        "gzip;q=0.1234", "gzip;q=0x1", ";;;", ",,,"}) {
    Coding got = negotiate(text);
    // "q=" alone says nothing and is ignored.
    EXPECT_EQ(got, std::string_view(text) == "gzip;q=" ? Coding::gzip : Coding::identity) << text;
  }
}

TEST(Compression, RoundTrips) {
  for (Coding coding : kAll) {
    for (std::size_t size : {0u, 1u, 1000u, 300'000u}) {
      std::string text = sample(size);
      auto packed = compress(coding, text);
      ASSERT_TRUE(packed) << to_string(coding);
      auto plain = decompress(coding, *packed, size);
      ASSERT_TRUE(plain) << to_string(coding) << plain.error().message;
      EXPECT_EQ(*plain, text) << to_string(coding);
      if (coding != Coding::identity && size >= 1000) {
        EXPECT_LT(packed->size(), size * 3 / 4);
      }
    }
  }
}

TEST(Compression, RefusesBombs) {
  std::string zeros(8u << 20, '\0');
  for (Coding coding : kAll) {
    auto packed = compress(coding, zeros);
    ASSERT_TRUE(packed);
    auto plain = decompress(coding, *packed, 1u << 20);
    ASSERT_FALSE(plain) << to_string(coding);
    EXPECT_EQ(plain.error().code, ErrorCode::too_large);
    EXPECT_EQ(plain.error().message, "the body decompresses to more than 1.0 MiB");
  }
}

TEST(Compression, RefusesWhatIsCutShortAnywhere) {
  std::string text = sample(3000);
  for (Coding coding : kReal) {
    auto packed = compress(coding, text);
    ASSERT_TRUE(packed);
    for (std::size_t size = 0; size < packed->size(); ++size) {
      auto plain = decompress(coding, packed->substr(0, size), 1u << 20);
      ASSERT_FALSE(plain) << to_string(coding) << size;
      EXPECT_EQ(plain.error().code, ErrorCode::invalid_argument);
    }
  }
}

TEST(Compression, RefusesRubbishAndTrailingBytes) {
  for (Coding coding : kReal) {
    EXPECT_FALSE(decompress(coding, "this is not compressed at all", 1000)) << to_string(coding);
    EXPECT_FALSE(decompress(coding, *compress(coding, "hello") + "rubbish", 1000))
        << to_string(coding);
  }
}

TEST(Compression, SurvivesFlippedBits) {
  std::string text = sample(2000);
  for (Coding coding : kReal) {
    auto packed = *compress(coding, text);
    for (std::size_t i = 0; i < packed.size() * 8; i += 5) {
      std::string bad = packed;
      bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << (i % 8)));
      auto plain = decompress(coding, bad, 100'000);
      if (plain) {
        EXPECT_LE(plain->size(), 100'000u);
      }
    }
  }
}

TEST(Compression, GzipAndZstdMayComeInSeveralParts) {
  for (Coding coding : {Coding::gzip, Coding::zstd}) {
    auto plain = decompress(coding, *compress(coding, "one ") + *compress(coding, "two"), 100);
    ASSERT_TRUE(plain) << to_string(coding);
    EXPECT_EQ(*plain, "one two");
  }
}

TEST(Compression, NamesItsTokens) {
  EXPECT_EQ(to_string(Coding::identity), "identity");
  EXPECT_EQ(to_string(Coding::gzip), "gzip");
  EXPECT_EQ(to_string(Coding::brotli), "br");
  EXPECT_EQ(to_string(Coding::zstd), "zstd");
}

}  // namespace
}  // namespace corral::net::compression_test
