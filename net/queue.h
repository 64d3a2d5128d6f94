#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace karma::net {

/// First in, first out, in one block of memory: unlike std::deque it allocates nothing once it has reached
/// its usual length. It frees a block that has grown large when the queue is empty.
template <typename T>
class Queue {
public:
    bool empty() const noexcept { return first_ == items_.size(); }
    std::size_t size() const noexcept { return items_.size() - first_; }
    T& front() noexcept { return items_[first_]; }
    T& back() noexcept { return items_.back(); }
    auto begin() noexcept { return items_.begin() + static_cast<std::ptrdiff_t>(first_); }
    auto end() noexcept { return items_.end(); }

    void push(T item) {
        // Drops the taken items when they are most of the block: each item is moved about once.
        if (items_.size() == items_.capacity() && first_ > items_.size() / 2) {
            items_.erase(items_.begin(), begin());
            first_ = 0;
        }
        items_.push_back(std::move(item));
    }

    /// Takes the first one, which must be there.
    T pop() {
        T item = std::move(items_[first_]);
        if (++first_ == items_.size()) {
            items_.clear();
            first_ = 0;
            if (items_.capacity() > kept_max) {
                items_ = std::vector<T>();
            }
        }
        return item;
    }

private:
    static constexpr std::size_t kept_max = 256;

    std::vector<T> items_;
    std::size_t first_ = 0;  // those before it were taken
};

}  // namespace karma::net
