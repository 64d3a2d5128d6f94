#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "engine/series.h"

namespace karma {

/// The series of a database by their names. Remembers the series that was found last, because requests that
/// arrive together mostly concern the same one. Not thread-safe, not even `find`.
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
    /// Of all names together.
    std::size_t name_bytes() const noexcept { return name_bytes_; }
    Map::const_iterator begin() const noexcept { return series_.begin(); }
    Map::const_iterator end() const noexcept { return series_.end(); }

    /// Calls `visit(series)` for the series whose names are above `after`, in the order of their names, until
    /// it returns false.
    template <typename Visit>
    void for_each_after(std::string_view after, Visit&& visit) const {
        for (auto at = names_.upper_bound(after); at != names_.end(); ++at) {
            if (!visit(*series_.find(*at)->second)) {
                return;
            }
        }
    }
    /// The same for all, the empty name among them.
    template <typename Visit>
    void for_each_by_name(Visit&& visit) const {
        for (const std::string_view name : names_) {
            visit(*series_.find(name)->second);
        }
    }

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
        const auto [place, is_new] = series_.try_emplace(series->name());
        if (is_new) {
            names_.insert(place->first);
            name_bytes_ += place->first.size();
        }
        return std::exchange(place->second, std::move(series));
    }

    /// Takes a series out of the table; null where there is no such.
    std::unique_ptr<Series> remove(std::string_view name) {
        last_ = nullptr;
        const auto found = series_.find(name);
        if (found == series_.end()) {
            return nullptr;
        }
        std::unique_ptr<Series> series = std::move(found->second);
        names_.erase(found->first);
        name_bytes_ -= found->first.size();
        series_.erase(found);
        return series;
    }

private:
    Map series_;
    std::set<std::string_view> names_;  // the keys of the map, in order: for pages and views
    std::size_t name_bytes_ = 0;
    mutable Series* last_ = nullptr;
};

}  // namespace karma
