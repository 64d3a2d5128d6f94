#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

namespace karma::net {

/// An amount that several users share: together they never take more than it. Thread-safe.
class Budget {
public:
    /// 0: no limit.
    explicit Budget(std::size_t max) : max_(max) {}
    Budget(const Budget&) = delete;
    Budget& operator=(const Budget&) = delete;

    /// False, with nothing taken, if less than `left` would be left.
    bool take(std::size_t amount, std::size_t left = 0) noexcept {
        if (max_ == 0) {
            return true;
        }
        std::size_t used = used_.load(std::memory_order_relaxed);
        do {
            const std::size_t room = max_ - used;
            if (amount > room || room - amount < left) {
                return false;
            }
        } while (!used_.compare_exchange_weak(used, used + amount, std::memory_order_relaxed));
        return true;
    }
    void give(std::size_t amount) noexcept {
        if (max_ != 0) {
            used_.fetch_sub(amount, std::memory_order_relaxed);
        }
    }

    std::size_t max() const noexcept { return max_; }
    std::size_t used() const noexcept { return used_.load(std::memory_order_relaxed); }

private:
    const std::size_t max_;
    std::atomic<std::size_t> used_{0};
};

/// The part of a budget that its owner has taken; given back by the destructor. The budget outlives it. Used
/// by one thread.
class Share {
public:
    explicit Share(Budget* budget = nullptr) noexcept : budget_(budget) {}
    Share(Share&& other) noexcept : budget_(other.budget_), amount_(std::exchange(other.amount_, 0)) {}
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    Share& operator=(Share&&) = delete;
    ~Share() { resize(0); }

    /// Changes the part to `amount`. False, with nothing changed, if less than `left` would be left in the
    /// budget.
    bool resize(std::size_t amount, std::size_t left = 0) noexcept {
        if (budget_ != nullptr) {
            if (amount > amount_ && !budget_->take(amount - amount_, left)) {
                return false;
            }
            if (amount < amount_) {
                budget_->give(amount_ - amount);
            }
        }
        amount_ = amount;
        return true;
    }
    std::size_t amount() const noexcept { return amount_; }
    const Budget* budget() const noexcept { return budget_; }

private:
    Budget* budget_;
    std::size_t amount_ = 0;
};

}  // namespace karma::net
