// What is made of what a container and the engine say: whether to try again, why it ended, whether
// it answers.
// Thread rule: pure functions, but answers(), which belongs to the shard it is called on.
#pragma once

#include <cstdint>

#include "config/settings.hpp"
#include "engines/core/container_machine.hpp"
#include "engines/core/engine_log.hpp"
#include "engines/docker/docker_types.hpp"
#include "net/task.hpp"

namespace corral::engines::docker {

// The timing that settings ask for.
ContainerPolicy policy_of(const config::ContainerSettings& settings);

// What an error of a step means for trying again.
ContainerFault fault_of(ContainerActionKind step, const Error& error);

// Why a container that does not run does not; its last words are the cause.
Error end_reason(const ContainerDetails& details, const LogTail& tail);

// Asks its API once. `settings` must outlive the call.
net::Task<bool> answers(const config::ContainerSettings& settings, std::uint16_t port);

}  // namespace corral::engines::docker
