#include "persist/database/failures.h"

#include <utility>

#include "engine/storage_error.h"

namespace karma {

std::string Failures::fatal() const {
    if (is_half_installed_) {
        return half_installed_text;
    }
    if (is_half_changed_) {
        return half_changed_text;
    }
    const std::lock_guard lock(mutex_);
    return is_directory_lost_ ? directory_loss_ : std::string();
}

void Failures::check_whole() const {
    if (is_half_installed_) {
        throw StorageError(half_installed_text);
    }
    if (is_half_changed_) {
        throw StorageError(half_changed_text);
    }
}

bool Failures::note_directory(const std::string& loss, const std::string& write_refusal) {
    const std::lock_guard lock(mutex_);
    directory_loss_ = loss;
    is_directory_lost_ = !loss.empty();
    const bool was_refused = !std::exchange(write_refusal_, write_refusal).empty();
    return !loss.empty() || (!was_refused && !write_refusal.empty());
}

std::string Failures::write_refusal() const {
    const std::lock_guard lock(mutex_);
    return write_refusal_;
}

std::string Failures::snapshot_failure() const {
    const std::lock_guard lock(mutex_);
    return snapshot_failure_;
}

void Failures::set_snapshot_failure(const std::string& why) {
    const std::lock_guard lock(mutex_);
    snapshot_failure_ = why;
}

}  // namespace karma
