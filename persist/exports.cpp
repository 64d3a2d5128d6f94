#include "persist/exports.h"

#include "engine/error.h"

namespace karma {

void Exports::reserve(const std::string& id) {
    const std::lock_guard lock(mutex_);
    drop_idle_locked();
    make_room_locked();
    if (places_.size() >= open_max) {
        throw RequestError(ErrorCode::validation_error,
                           std::to_string(open_max) +
                               " exports are under way, and there are no more at once: end one with "
                               "export.end, or wait until one ends or nothing was asked of it for a minute");
    }
    places_.emplace(id, Place{nullptr, clock_()});
}

void Exports::fill(const std::string& id, std::shared_ptr<const Export> with) {
    const std::lock_guard lock(mutex_);
    const auto place = places_.find(id);
    if (place == places_.end()) {
        throw RequestError(ErrorCode::not_found,
                           "The state was replaced while it was to be exported: begin a new export");
    }
    place->second = {std::move(with), clock_()};
}

std::shared_ptr<const Export> Exports::find(std::string_view id) {
    const std::lock_guard lock(mutex_);
    drop_idle_locked();
    const auto place = places_.find(id);
    if (place == places_.end() || !place->second.filled) {
        throw RequestError(ErrorCode::not_found,
                           "Export \"" + std::string(id) +
                               "\" is not there: it was ended, nothing was asked of it for " +
                               std::to_string(idle_max.count()) +
                               " minutes, another one needed its place, or the daemon was started since: "
                               "begin a new one");
    }
    place->second.used = clock_();
    return place->second.filled;
}

bool Exports::end(std::string_view id) {
    std::shared_ptr<const Export> ended;  // goes without the lock
    const std::lock_guard lock(mutex_);
    const auto place = places_.find(id);
    if (place == places_.end()) {
        return false;
    }
    ended = std::move(place->second.filled);
    places_.erase(place);
    return true;
}

void Exports::drop_idle() {
    const std::lock_guard lock(mutex_);
    drop_idle_locked();
}

/// What is being made is not idle, however long it takes.
void Exports::drop_idle_locked() {
    const auto now = clock_();
    std::erase_if(places_, [&](const auto& entry) {
        return entry.second.filled && now - entry.second.used > idle_max;
    });
}

/// Of clients that were killed: others need not wait for as long as one may pause.
void Exports::make_room_locked() {
    if (places_.size() < open_max) {
        return;
    }
    const auto now = clock_();
    auto idlest = places_.end();
    for (auto place = places_.begin(); place != places_.end(); ++place) {
        if (place->second.filled && now - place->second.used > idle_while_full_max &&
            (idlest == places_.end() || place->second.used < idlest->second.used)) {
            idlest = place;
        }
    }
    if (idlest != places_.end()) {
        places_.erase(idlest);
    }
}

void Exports::forget_all() {
    const std::lock_guard lock(mutex_);
    places_.clear();
}

}  // namespace karma
