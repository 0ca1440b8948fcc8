// SPDX-License-Identifier: Apache-2.0
#include "workers/lending.h"

#include <thread>

#include <gtest/gtest.h>

namespace skua::internal {
namespace {

TEST(LendingTest, NobodyWantsAWorkerThatWasNotLent) {
  Lending lending;
  EXPECT_FALSE(lending.wanted());
  EXPECT_FALSE(lending.wait_for_claim());
  EXPECT_FALSE(lending.pass_on(nullptr));
}

TEST(LendingTest, WhoLeavesWaitsForTheClaimOfWhoHasLent) {
  Lending lending;
  lending.lend();
  Lending::Claim claim;
  std::thread lender([&] { lending.claim(claim, true); });
  EXPECT_TRUE(lending.wait_for_claim());
  lender.join();
  EXPECT_TRUE(lending.wanted());
  EXPECT_TRUE(lending.pass_on(nullptr));
  lending.await(claim);
  EXPECT_FALSE(lending.wait_for_claim());
}

TEST(LendingTest, ClaimsAreGrantedInTheirOrder) {
  Lending lending;
  Lending::Claim first;
  Lending::Claim second;
  Lending::Claim own;
  lending.claim(first, false);
  lending.claim(second, false);
  EXPECT_TRUE(lending.pass_on(&own));
  lending.await(first);
  EXPECT_TRUE(lending.pass_on(nullptr));
  lending.await(second);
  EXPECT_TRUE(lending.pass_on(nullptr));
  lending.await(own);
  EXPECT_FALSE(lending.wanted());
}

}  // namespace
}  // namespace skua::internal
