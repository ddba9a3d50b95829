// The part of the table of properties that is about models: where they come from, how they are run,
// what they may take. Settings of one model stand in properties.hpp.
//
// Thread rule: pure functions.
#pragma once

#include <vector>

#include "config/properties.hpp"

namespace corral::config {

std::vector<Property<ModelsSettings>> models_properties();        // models.*
std::vector<Property<SchedulerSettings>> scheduler_properties();  // scheduler.*
std::vector<Property<SourcesSettings>> sources_properties();      // sources.*
std::vector<Property<DownloadSettings>> download_properties();    // downloads.*

}  // namespace corral::config
