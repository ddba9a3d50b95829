#include "sys/host_cpu.hpp"

#include <gtest/gtest.h>

#include "temp_folder.hpp"

namespace corral::sys::host_cpu_test {
namespace {

TEST(HostCpu, ReadsTheFirstLine) {
  TempFolder root;
  root.put("proc/stat", "cpu  100 10 50 800 40 0 0 0 7 7\ncpu0 1 1 1 1 1 1 1 1 1 1\n");
  auto times = cpu_times(root.path());
  ASSERT_TRUE(times);
  EXPECT_EQ(times->total, 1000u);  // guests stand in user already
  EXPECT_EQ(times->busy, 160u);
}

TEST(HostCpu, AnOldKernelTellsLess) {
  TempFolder root;
  root.put("proc/stat", "cpu  1 2 3 4 5\n");
  EXPECT_EQ(cpu_times(root.path())->total, 15u);
}

TEST(HostCpu, WhatCannotBeReadIsNone) {
  TempFolder root;
  EXPECT_FALSE(cpu_times(root.path()));
  for (const char* text :
       {"", "cpu  1 2 3\n", "cpu  1 2 x 4 5 6\n", "intr 5\n", "cpu  1 2 -3 4 5\n"}) {
    root.put("proc/stat", text);
    EXPECT_FALSE(cpu_times(root.path())) << text;
  }
}

TEST(HostCpu, PartInUseBetweenTwoReadings) {
  EXPECT_DOUBLE_EQ(busy_part(CpuTimes{10, 100}, CpuTimes{60, 200}), 0.5);
  EXPECT_DOUBLE_EQ(busy_part(std::nullopt, CpuTimes{60, 200}), 0);
  EXPECT_DOUBLE_EQ(busy_part(CpuTimes{10, 100}, std::nullopt), 0);
  EXPECT_DOUBLE_EQ(busy_part(CpuTimes{10, 100}, CpuTimes{10, 100}), 0);
  EXPECT_DOUBLE_EQ(busy_part(CpuTimes{60, 100}, CpuTimes{10, 200}), 0);
}

TEST(HostCpu, ThisHost) {
  auto times = cpu_times();
  ASSERT_TRUE(times);
  EXPECT_GT(times->busy, 0u);
  EXPECT_LE(times->busy, times->total);
}

}  // namespace
}  // namespace corral::sys::host_cpu_test
