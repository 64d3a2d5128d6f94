#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "engine/series.h"

namespace karma {

/// The series of a database by their names. Remembers the one that was found last: requests that come
/// together are mostly about the same. Not thread-safe, finding included.
class SeriesTable {
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const noexcept {
            return std::hash<std::string_view>{}(text);
        }
    };
    using Map = std::unordered_map<std::string, std::unique_ptr<Series>, Hash, std::equal_to<>>;

public:
    std::size_t size() const noexcept { return series_.size(); }
    Map::const_iterator begin() const noexcept { return series_.begin(); }
    Map::const_iterator end() const noexcept { return series_.end(); }

    /// Null where there is no such series.
    Series* find(std::string_view name) const noexcept {
        if (last_ != nullptr && last_->name() == name) {
            return last_;
        }
        const auto found = series_.find(name);
        if (found == series_.end()) {
            return nullptr;
        }
        last_ = found->second.get();
        return last_;
    }

    /// Puts a series into the table, and returns the one that had its name.
    std::unique_ptr<Series> exchange(std::unique_ptr<Series> series) {
        last_ = nullptr;
        std::unique_ptr<Series>& place = series_[series->name()];
        return std::exchange(place, std::move(series));
    }

    /// Takes a series out of the table; null where there is no such.
    std::unique_ptr<Series> remove(std::string_view name) {
        last_ = nullptr;
        const auto found = series_.find(name);
        if (found == series_.end()) {
            return nullptr;
        }
        std::unique_ptr<Series> series = std::move(found->second);
        series_.erase(found);
        return series;
    }

private:
    Map series_;
    mutable Series* last_ = nullptr;
};

}  // namespace karma
