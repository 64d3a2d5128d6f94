#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>

namespace karma {

/// What is wrong with a database beside its event log, whose failures the committer knows. Thread-safe.
class Failures {
public:
    /// Told of what failed in the background, from another thread; may be empty.
    using Report = std::function<void(const std::string& what, const std::string& why)>;

    explicit Failures(Report report) : report_(std::move(report)) {}

    void report(const std::string& what, const std::string& why) const {
        if (report_) {
            report_(what, why);
        }
    }

    /// Nothing can be acknowledged any more.
    bool is_fatal() const noexcept { return is_half_installed_ || is_half_changed_ || is_directory_lost_; }
    /// Why that is so; empty where it is not.
    std::string fatal() const;

    /// What is stored is neither this state nor the one that was to take its place.
    bool is_half_installed() const noexcept { return is_half_installed_; }
    void set_half_installed(bool is_half) noexcept { is_half_installed_ = is_half; }

    /// What is in memory is no state that the log gives.
    bool is_half_changed() const noexcept { return is_half_changed_; }
    void set_half_changed() noexcept { is_half_changed_ = true; }

    /// Throws StorageError where the state is one of the two.
    void check_whole() const;

    /// What is written would not be found again.
    bool is_directory_lost() const noexcept { return is_directory_lost_; }
    /// What the data directory is like: why what is written would not be found again, and why no file can be
    /// made; empty where all is well. True when there is something new to be told.
    bool note_directory(const std::string& loss, const std::string& write_refusal);
    std::string write_refusal() const;

    /// Why the last snapshot could not be stored; empty where it could.
    std::string snapshot_failure() const;
    void set_snapshot_failure(const std::string& why);

private:
    Report report_;
    std::atomic<bool> is_half_installed_{false};
    std::atomic<bool> is_half_changed_{false};
    std::atomic<bool> is_directory_lost_{false};
    mutable std::mutex mutex_;
    // Under it:
    std::string directory_loss_;
    std::string write_refusal_;
    std::string snapshot_failure_;
};

/// Why nothing is written after an event was applied in part.
inline constexpr const char* half_changed_text =
    "memory ended while an event was applied: what is in memory is not what the event log gives. A restart "
    "goes back to that";

/// The failure of a database when that was interrupted.
inline constexpr const char* half_installed_text =
    "the state of the master could not be put in place as a whole: another one, or a restart, begins anew";

}  // namespace karma
