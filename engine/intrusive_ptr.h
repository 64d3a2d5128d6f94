#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace karma {

/// Counts the holders of an object that is copied on write. Holders on any thread may come and go; only the
/// one writer asks `is_unique`, and writes when it is.
class RefCounted {
public:
    void acquire() const noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }

    /// True when the last holder has released it: the caller then destroys the object.
    bool release() const noexcept { return refs_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

    /// Whether the asking holder is the only one. The reads of former holders are complete when this returns
    /// true.
    bool is_unique() const noexcept { return refs_.load(std::memory_order_acquire) == 1; }

private:
    mutable std::atomic<std::uint32_t> refs_{0};
};

/// A shared, counted reference to a T with `acquire`, `release` and a static `T::destroy(const T*)`.
template <typename T>
class IntrusivePtr {
public:
    IntrusivePtr() noexcept = default;

    explicit IntrusivePtr(T* object) noexcept : object_(object) {
        if (object_ != nullptr) {
            object_->acquire();
        }
    }

    IntrusivePtr(const IntrusivePtr& other) noexcept : IntrusivePtr(other.object_) {}
    IntrusivePtr(IntrusivePtr&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}

    IntrusivePtr& operator=(IntrusivePtr other) noexcept {
        std::swap(object_, other.object_);
        return *this;
    }

    ~IntrusivePtr() {
        if (object_ != nullptr && object_->release()) {
            T::destroy(object_);
        }
    }

    T* get() const noexcept { return object_; }
    T* operator->() const noexcept { return object_; }
    T& operator*() const noexcept { return *object_; }
    explicit operator bool() const noexcept { return object_ != nullptr; }

private:
    T* object_ = nullptr;
};

}  // namespace karma
