#include "sys/shared_library.hpp"

#include <gtest/gtest.h>

namespace corral::sys::shared_library_test {
namespace {

TEST(SharedLibrary, LoadsAndFindsFunctions) {
  auto library = SharedLibrary::open("libm.so.6");
  ASSERT_TRUE(library) << library.error().cause;
  auto address = library->symbol("cbrt");
  ASSERT_TRUE(address);
  auto cube_root = reinterpret_cast<double (*)(double)>(*address);
  EXPECT_DOUBLE_EQ(cube_root(27.0), 3.0);

  auto missing = library->symbol("no_such_function");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::unsupported);
  EXPECT_EQ(missing.error().message, "the library 'libm.so.6' has no 'no_such_function'");
}

TEST(SharedLibrary, AMissingOneIsNotFound) {
  auto library = SharedLibrary::open("libcorral-no-such.so.9");
  ASSERT_FALSE(library);
  EXPECT_EQ(library.error().code, ErrorCode::not_found);
  EXPECT_NE(library.error().cause.find("libcorral-no-such.so.9"), std::string::npos);
}

}  // namespace
}  // namespace corral::sys::shared_library_test
