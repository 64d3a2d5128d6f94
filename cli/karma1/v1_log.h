#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cli/karma1/files.h"
#include "engine/day.h"
#include "engine/engine.h"
#include "net/access.h"
#include "net/request_decoder.h"
#include "net/v1_decoder.h"

namespace karma::cli {

/// Executes the log of a Karma 0.1, whose entries are requests of protocol v1 and have no day: all of them
/// are of one. A file has no LSN, so which entries its series has already cannot be told: as Karma 0.1 does,
/// every entry is applied to the latest file of each series.
class V1Log {
public:
    /// `engine` outlives this and holds the series of the files. `given_day` is that of the entries; without
    /// it they are of the UTC day on which their file was last changed.
    V1Log(std::filesystem::path directory, Engine& engine, std::optional<Day> given_day)
        : directory_(std::move(directory)),
          engine_(engine),
          day_(given_day),
          is_day_given_(day_.has_value()) {}

    /// Executes an entry; returns why not, where Karma 0.1 had logged and not executed it. Throws InputError,
    /// naming its place, where it is no request that changes something.
    std::optional<std::string> apply(const LogLine& line);

    /// The day of the entries; nothing before the first of them where none was given.
    std::optional<Day> day() const noexcept { return day_; }
    bool is_day_given() const noexcept { return is_day_given_; }

    /// What a person has to know of files and log: `files` are the latest of each series.
    std::vector<std::string> warnings(const std::vector<TreeFile>& files) const;

private:
    std::optional<std::string> execute(const LogLine& line, const Mutation& body);
    std::optional<std::string> load(const LogLine& line, const std::string& name);

    std::filesystem::path directory_;
    Engine& engine_;
    net::Access access_{"", ""};
    net::RequestDecoder parser_{access_};
    net::V1Decoder decoder_{access_};
    std::optional<Day> day_;
    bool is_day_given_;
    std::set<std::string, std::less<>> touched_;  // series that the log changes
    std::set<std::string, std::less<>> dropped_;  // and those that it drops
};

}  // namespace karma::cli
