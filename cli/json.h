// JSON that the commands print.
#pragma once

#include <string>
#include <string_view>

namespace benchfs::cli {

// As a JSON string, with its quotes.
std::string json_text(std::string_view text);

}  // namespace benchfs::cli
