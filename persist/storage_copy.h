#pragma once

#include <filesystem>

#include "engine/storage.h"

namespace karma {

/// Makes a database in a directory that does not exist yet, with all that `storage` holds; durable when this
/// returns. Nothing is removed from `storage` meanwhile. Throws StorageError.
void copy_to_directory(const Storage& storage, const std::filesystem::path& path);

}  // namespace karma
