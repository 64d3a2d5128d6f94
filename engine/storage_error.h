#pragma once

#include <stdexcept>

namespace karma {

/// An operation of the storage has failed; the message names the operation and the cause.
class StorageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

}  // namespace karma
