#include "gateway/core/flight_group.hpp"

#include <algorithm>
#include <utility>

namespace corral::gateway {

FlightGroup::Seat FlightGroup::join(const AnswerKey& key) {
  ReaderId reader = ++last_id_;
  if (auto found = by_key_.find(key); found != by_key_.end()) {
    flights_.at(found->second).readers.emplace(reader, Reader{});
    return {found->second, reader, false};
  }
  FlightId id = ++last_id_;
  Flight& flight = flights_[id];
  flight.key = key;
  flight.readers.emplace(reader, Reader{});
  by_key_.emplace(key, id);
  return {id, reader, true};
}

bool FlightGroup::may_append(FlightId id) const {
  auto found = flights_.find(id);
  return found == flights_.end() || !lagging(found->second);
}

FlightGroup::Effects FlightGroup::append(FlightId id, AnswerPiecePtr piece) {
  Effects effects;
  auto found = flights_.find(id);
  if (found == flights_.end()) return effects;
  Flight& flight = found->second;
  if (flight.ending) return effects;
  flight.bytes += piece->bytes.size();
  flight.pieces.push_back(std::move(piece));
  wake_all(flight, effects);
  if (flight.bytes > bound_) keep_bound(id, flight);
  return effects;
}

FlightGroup::Effects FlightGroup::end(FlightId id, Ending ending) {
  Effects effects;
  auto found = flights_.find(id);
  if (found == flights_.end()) return effects;
  Flight& flight = found->second;
  if (flight.ending) return effects;
  bool nothing_read =
      flight.dropped == 0 &&
      std::ranges::all_of(flight.readers, [](const auto& each) { return each.second.next == 0; });
  if (ending == Ending::unled && nothing_read) {
    flight.pieces.clear();
    flight.bytes = 0;
    promote(flight, effects);
    return effects;
  }
  flight.ending = ending;
  unlist(id, flight);
  wake_all(flight, effects);
  return effects;
}

FlightGroup::Read FlightGroup::read(const Seat& seat) {
  auto found = flights_.find(seat.flight);
  if (found == flights_.end()) return {};
  Flight& flight = found->second;
  auto at = flight.readers.find(seat.reader);
  if (at == flight.readers.end()) return {};
  Reader& reader = at->second;
  if (reader.cut) return {ReadKind::cut, nullptr, false};
  if (flight.next_leader == seat.reader) {
    flight.next_leader.reset();
    return {ReadKind::lead, nullptr, false};
  }
  std::size_t index = reader.next - flight.dropped;
  if (index < flight.pieces.size()) {
    Read read{ReadKind::piece, flight.pieces[index], false};
    ++reader.next;
    reader.bytes += read.piece->bytes.size();
    bool lagged = lagging(flight);
    flight.fastest = std::max(flight.fastest, reader.bytes);
    read.wake_maker = lagged && !lagging(flight);
    return read;
  }
  if (!flight.ending) {
    reader.waiting = true;
    return {ReadKind::wait, nullptr, false};
  }
  bool complete = flight.ending == Ending::complete;
  return {complete ? ReadKind::complete : ReadKind::failed, nullptr, false};
}

FlightGroup::Effects FlightGroup::leave(const Seat& seat) {
  Effects effects;
  auto found = flights_.find(seat.flight);
  if (found == flights_.end()) return effects;
  Flight& flight = found->second;
  if (flight.readers.erase(seat.reader) == 0) return effects;
  if (flight.readers.empty()) {
    effects.cancel_maker = !flight.ending;
    unlist(seat.flight, flight);
    flights_.erase(found);
    return effects;
  }
  if (flight.next_leader == seat.reader) promote(flight, effects);
  // The pace may have been this one's. (The maker waits for somebody who has not left.)
  if (!flight.ending && flight.bytes > bound_) find_fastest(flight);
  return effects;
}

void FlightGroup::unlist(FlightId id, Flight& flight) {
  if (!std::exchange(flight.listed, false)) return;
  auto found = by_key_.find(flight.key);
  if (found != by_key_.end() && found->second == id) by_key_.erase(found);
}

// Nobody can read it from the start any more: what is behind the slowest is of no use.
void FlightGroup::keep_bound(FlightId id, Flight& flight) {
  unlist(id, flight);
  find_fastest(flight);
  std::size_t slowest = flight.dropped + flight.pieces.size();
  for (auto& [reader_id, reader] : flight.readers) {
    if (reader.cut) continue;
    bool fastest = reader.bytes == flight.fastest;
    reader.cut = !fastest && flight.bytes - reader.bytes > bound_;
    if (reader.cut) continue;
    slowest = std::min(slowest, reader.next);
  }
  while (flight.dropped < slowest) {
    flight.pieces.pop_front();
    ++flight.dropped;
  }
}

void FlightGroup::find_fastest(Flight& flight) {
  flight.fastest = 0;
  for (const auto& [id, reader] : flight.readers) {
    if (!reader.cut) flight.fastest = std::max(flight.fastest, reader.bytes);
  }
}

void FlightGroup::wake(ReaderId id, Reader& reader, Effects& effects) {
  if (std::exchange(reader.waiting, false)) effects.wake.push_back(id);
}

void FlightGroup::wake_all(Flight& flight, Effects& effects) {
  for (auto& [id, reader] : flight.readers) wake(id, reader, effects);
}

void FlightGroup::promote(Flight& flight, Effects& effects) {
  auto& [id, reader] = *flight.readers.begin();
  flight.next_leader = id;
  wake(id, reader, effects);
}

}  // namespace corral::gateway
