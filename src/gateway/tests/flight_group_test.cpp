#include "gateway/core/flight_group.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace corral::gateway::flight_group_test {

namespace {

using Ending = FlightGroup::Ending;
using Kind = FlightGroup::ReadKind;
using Seat = FlightGroup::Seat;

AnswerKey key_of(std::uint8_t number) {
  AnswerKey key{};
  key[0] = number;
  return key;
}

AnswerPiecePtr piece(std::string bytes) {
  return std::make_shared<const AnswerPiece>(AnswerPiece{nullptr, std::move(bytes)});
}

class FlightGroupTest : public testing::Test {
 protected:
  static constexpr std::size_t kBound = 100;
  FlightGroup group{kBound, 1};

  // All that can be read now, and how it stopped.
  std::pair<std::string, Kind> drain(const Seat& seat) {
    std::string text;
    for (;;) {
      auto read = group.read(seat);
      if (read.kind != Kind::piece) return {text, read.kind};
      text += read.piece->bytes;
    }
  }
};

TEST_F(FlightGroupTest, TheFirstLeadsTheOthersFollow) {
  auto a = group.join(key_of(1));
  auto b = group.join(key_of(1));
  auto other = group.join(key_of(2));
  EXPECT_TRUE(a.leads);
  EXPECT_FALSE(b.leads);
  EXPECT_EQ(a.flight, b.flight);
  EXPECT_NE(a.reader, b.reader);
  EXPECT_TRUE(other.leads);
  EXPECT_EQ(group.flights(), 2u);
}

TEST_F(FlightGroupTest, AllReadTheSameFromTheStart) {
  auto a = group.join(key_of(1));
  EXPECT_EQ(group.read(a).kind, Kind::wait);
  auto effects = group.append(a.flight, piece("one "));
  EXPECT_EQ(effects.wake, std::vector{a.reader});
  EXPECT_EQ(drain(a), std::pair(std::string("one "), Kind::wait));
  auto late = group.join(key_of(1));
  EXPECT_EQ(drain(late), std::pair(std::string("one "), Kind::wait));
  effects = group.append(a.flight, piece("two"));
  EXPECT_EQ(effects.wake.size(), 2u);
  group.end(a.flight, Ending::complete);
  auto later = group.join(key_of(1));
  EXPECT_TRUE(later.leads);  // an ended flight takes nobody
  EXPECT_EQ(drain(a), std::pair(std::string("two"), Kind::complete));
  EXPECT_EQ(drain(late), std::pair(std::string("two"), Kind::complete));
}

TEST_F(FlightGroupTest, WhoDoesNotWaitIsNotWoken) {
  auto a = group.join(key_of(1));
  EXPECT_TRUE(group.append(a.flight, piece("x")).wake.empty());
  EXPECT_EQ(drain(a).second, Kind::wait);
  EXPECT_EQ(group.append(a.flight, piece("x")).wake.size(), 1u);
  EXPECT_TRUE(group.append(a.flight, piece("x")).wake.empty());  // once
}

TEST_F(FlightGroupTest, TheEndWakesThoseWhoWait) {
  auto a = group.join(key_of(1));
  auto b = group.join(key_of(1));
  drain(a);
  auto effects = group.end(a.flight, Ending::failed);
  EXPECT_EQ(effects.wake, std::vector{a.reader});
  EXPECT_EQ(group.read(a).kind, Kind::failed);
  EXPECT_EQ(group.read(b).kind, Kind::failed);
}

TEST_F(FlightGroupTest, OnlyTheLastWhoLeavesCancels) {
  auto a = group.join(key_of(1));
  auto b = group.join(key_of(1));
  EXPECT_FALSE(group.leave(a).cancel_maker);
  EXPECT_TRUE(group.has_readers(a.flight));
  group.append(a.flight, piece("for b"));
  EXPECT_EQ(drain(b).first, "for b");
  EXPECT_TRUE(group.leave(b).cancel_maker);
  EXPECT_FALSE(group.has_readers(a.flight));
  EXPECT_EQ(group.flights(), 0u);
  EXPECT_TRUE(group.join(key_of(1)).leads);
}

TEST_F(FlightGroupTest, LeavingAfterTheEndCancelsNothing) {
  auto a = group.join(key_of(1));
  group.end(a.flight, Ending::complete);
  EXPECT_FALSE(group.leave(a).cancel_maker);
  EXPECT_EQ(group.flights(), 0u);
}

TEST_F(FlightGroupTest, TheNextReaderLeadsWhenTheLeaderGoesAway) {
  auto a = group.join(key_of(1));
  auto b = group.join(key_of(1));
  auto c = group.join(key_of(1));
  drain(b);
  drain(c);
  group.leave(a);
  auto effects = group.end(a.flight, Ending::unled);
  EXPECT_EQ(effects.wake, std::vector{b.reader});
  EXPECT_EQ(group.read(c).kind, Kind::wait);
  EXPECT_EQ(group.read(b).kind, Kind::lead);
  EXPECT_EQ(group.read(b).kind, Kind::wait);  // told once
  auto late = group.join(key_of(1));
  EXPECT_FALSE(late.leads);
  group.append(b.flight, piece("again"));
  group.end(b.flight, Ending::complete);
  for (const auto& seat : {b, c, late}) {
    EXPECT_EQ(drain(seat), std::pair(std::string("again"), Kind::complete));
  }
}

TEST_F(FlightGroupTest, AChosenLeaderThatLeavesPassesItOn) {
  auto a = group.join(key_of(1));
  auto b = group.join(key_of(1));
  auto c = group.join(key_of(1));
  drain(c);
  group.leave(a);
  group.end(a.flight, Ending::unled);
  auto effects = group.leave(b);
  EXPECT_EQ(effects.wake, std::vector{c.reader});
  EXPECT_EQ(group.read(c).kind, Kind::lead);
}

TEST_F(FlightGroupTest, WhatNobodyReadIsForgottenWithItsLeader) {
  auto a = group.join(key_of(1));
  auto b = group.join(key_of(1));
  group.append(a.flight, piece("first try"));
  group.leave(a);
  group.end(a.flight, Ending::unled);
  EXPECT_EQ(group.read(b).kind, Kind::lead);
  group.append(b.flight, piece("second try"));
  group.end(b.flight, Ending::complete);
  EXPECT_EQ(drain(b).first, "second try");
}

TEST_F(FlightGroupTest, AllFailWhenTheLeaderGoesAwayInTheMiddle) {
  auto a = group.join(key_of(1));
  auto b = group.join(key_of(1));
  auto c = group.join(key_of(1));
  group.append(a.flight, piece("begun"));
  drain(b);
  drain(a);
  group.end(a.flight, Ending::unled);
  EXPECT_EQ(drain(b), std::pair(std::string(), Kind::failed));
  EXPECT_EQ(drain(c), std::pair(std::string("begun"), Kind::failed));
}

TEST_F(FlightGroupTest, PastTheBoundLatecomersLeadTheirOwn) {
  auto a = group.join(key_of(1));
  group.append(a.flight, piece(std::string(kBound, 'x')));
  auto b = group.join(key_of(1));
  EXPECT_FALSE(b.leads);
  drain(a);
  group.append(a.flight, piece("y"));
  auto c = group.join(key_of(1));
  EXPECT_TRUE(c.leads);
  EXPECT_NE(c.flight, a.flight);
  // Both flights go on, each for its own.
  group.append(c.flight, piece("mine"));
  EXPECT_EQ(drain(c).first, "mine");
  group.end(a.flight, Ending::complete);
  EXPECT_FALSE(group.join(key_of(1)).leads);
}

TEST_F(FlightGroupTest, TheMakerWaitsForTheFastest) {
  auto a = group.join(key_of(1));
  auto b = group.join(key_of(1));
  EXPECT_TRUE(group.may_append(a.flight));
  group.append(a.flight, piece(std::string(60, 'x')));
  EXPECT_TRUE(group.may_append(a.flight));
  group.append(a.flight, piece(std::string(60, 'y')));
  EXPECT_FALSE(group.may_append(a.flight));
  auto read = group.read(b);
  EXPECT_EQ(read.kind, Kind::piece);
  EXPECT_TRUE(read.wake_maker);
  EXPECT_TRUE(group.may_append(a.flight));
  EXPECT_FALSE(group.read(a).wake_maker);  // once
}

TEST_F(FlightGroupTest, WhoIsTooSlowIsCutOff) {
  auto fast = group.join(key_of(1));
  auto slow = group.join(key_of(1));
  std::string all;
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(group.may_append(fast.flight));
    group.append(fast.flight, piece(std::string(30, static_cast<char>('a' + i))));
    all += drain(fast).first;
  }
  EXPECT_EQ(all.size(), 300u);
  EXPECT_EQ(group.read(slow).kind, Kind::cut);
  EXPECT_EQ(group.read(slow).kind, Kind::cut);
  EXPECT_FALSE(group.leave(slow).cancel_maker);
  group.end(fast.flight, Ending::complete);
  EXPECT_EQ(drain(fast).second, Kind::complete);
}

TEST_F(FlightGroupTest, OneReaderAloneIsNeverCutOff) {
  auto a = group.join(key_of(1));
  group.append(a.flight, piece(std::string(5 * kBound, 'x')));
  EXPECT_FALSE(group.may_append(a.flight));
  EXPECT_EQ(drain(a).first.size(), 5 * kBound);
  EXPECT_TRUE(group.may_append(a.flight));
}

TEST_F(FlightGroupTest, WhenTheFastestLeavesTheMakerWaitsForTheNext) {
  auto fast = group.join(key_of(1));
  auto slow = group.join(key_of(1));
  auto flight = fast.flight;
  for (int i = 0; i < 2; ++i) group.append(flight, piece(std::string(40, 'x')));
  drain(fast);
  drain(slow);
  group.append(flight, piece(std::string(90, 'y')));
  drain(fast);
  EXPECT_TRUE(group.may_append(flight));
  group.leave(fast);
  EXPECT_TRUE(group.may_append(flight));
  group.append(flight, piece(std::string(20, 'z')));  // now it is the fastest: not cut off
  EXPECT_FALSE(group.may_append(flight));
  auto read = group.read(slow);
  EXPECT_EQ(read.kind, Kind::piece);
  EXPECT_TRUE(read.wake_maker);
}

TEST_F(FlightGroupTest, WhatIsGoneIsNotTouched) {
  auto a = group.join(key_of(1));
  group.leave(a);
  EXPECT_TRUE(group.may_append(a.flight));
  EXPECT_TRUE(group.append(a.flight, piece("x")).wake.empty());
  EXPECT_TRUE(group.end(a.flight, Ending::complete).wake.empty());
  EXPECT_EQ(group.read(a).kind, Kind::failed);
  EXPECT_FALSE(group.leave(a).cancel_maker);
  auto b = group.join(key_of(1));
  EXPECT_EQ(group.read({b.flight, 999, false}).kind, Kind::failed);
  group.end(b.flight, Ending::complete);
  group.append(b.flight, piece("too late"));
  EXPECT_EQ(drain(b), std::pair(std::string(), Kind::complete));
  group.end(b.flight, Ending::failed);
  EXPECT_EQ(group.read(b).kind, Kind::complete);
}

// Whatever happens in whatever order: each reader gets a prefix of what its flight's maker said,
// and all of it when it is told that it is complete; there is one maker at a time; a waiting reader
// is woken when there is something for it.
TEST(FlightGroupProperty, ReadersGetWhatTheMakerSaidAndNothingElse) {
  struct Client {
    Seat seat;
    std::string got;
    bool waiting = false;
  };
  struct Making {
    std::string said;
    bool ended = false, complete = false, made_now = true;
  };
  for (unsigned seed = 1; seed <= 30; ++seed) {
    std::mt19937_64 random(seed);
    FlightGroup group(200, seed);
    std::vector<Client> clients;
    std::map<FlightGroup::FlightId, Making> makings;
    auto apply = [&](FlightGroup::FlightId flight, const FlightGroup::Effects& effects) {
      for (auto id : effects.wake) {
        for (auto& client : clients) {
          if (client.seat.reader == id) client.waiting = false;
        }
      }
      if (effects.cancel_maker && makings[flight].made_now) makings[flight].ended = true;
    };
    for (int step = 0; step < 3000; ++step) {
      switch (random() % 6) {
        case 0: {
          if (clients.size() > 12) break;
          Client client;
          client.seat = group.join(key_of(static_cast<std::uint8_t>(random() % 3)));
          if (client.seat.leads) {
            ASSERT_FALSE(makings.contains(client.seat.flight));
            makings[client.seat.flight] = {};
          }
          clients.push_back(client);
          break;
        }
        case 1:
        case 2: {  // the makers say something
          for (auto& [flight, making] : makings) {
            if (making.ended || !making.made_now || !group.may_append(flight)) continue;
            std::string text(1 + random() % 60, static_cast<char>('a' + random() % 26));
            making.said += text;
            apply(flight, group.append(flight, piece(text)));
          }
          break;
        }
        case 3: {  // one ends
          if (makings.empty() || random() % 8 != 0) break;
          auto at = std::next(makings.begin(), static_cast<long>(random() % makings.size()));
          auto& [flight, making] = *at;
          if (making.ended || !making.made_now || !group.has_readers(flight)) break;
          auto ending = static_cast<Ending>(random() % 3);
          bool nothing_read = true;
          for (const auto& client : clients) {
            if (client.seat.flight == flight && !client.got.empty()) nothing_read = false;
          }
          auto effects = group.end(flight, ending);
          if (ending == Ending::unled && nothing_read) {
            // Readers that left may have read; then it is over. Somebody is told to lead otherwise.
            making.made_now = false;
          } else {
            making.ended = true;
            making.complete = ending == Ending::complete;
          }
          apply(flight, effects);
          break;
        }
        case 4: {  // one reads
          if (clients.empty()) break;
          auto& client = clients[random() % clients.size()];
          if (client.waiting) break;
          auto read = group.read(client.seat);
          auto& making = makings[client.seat.flight];
          switch (read.kind) {
            case Kind::piece:
              client.got += read.piece->bytes;
              ASSERT_TRUE(making.said.starts_with(client.got)) << "seed " << seed;
              break;
            case Kind::wait:
              ASSERT_EQ(client.got, making.made_now ? making.said : "");
              client.waiting = true;
              break;
            case Kind::complete:
              ASSERT_TRUE(making.complete);
              ASSERT_EQ(client.got, making.said);
              break;
            case Kind::lead:
              ASSERT_FALSE(making.made_now);
              ASSERT_TRUE(client.got.empty());
              making.made_now = true;
              making.said.clear();
              break;
            case Kind::failed: making.ended = true; break;
            case Kind::cut: ASSERT_GT(making.said.size() - client.got.size(), 200u); break;
          }
          break;
        }
        case 5: {  // one leaves
          if (clients.empty() || random() % 3 != 0) break;
          auto at = random() % clients.size();
          auto seat = clients[at].seat;
          clients.erase(clients.begin() + static_cast<long>(at));
          apply(seat.flight, group.leave(seat));
          break;
        }
      }
    }
    for (const auto& client : clients) group.leave(client.seat);
    EXPECT_EQ(group.flights(), 0u);
  }
}

}  // namespace
}  // namespace corral::gateway::flight_group_test
