# SPDX-License-Identifier: Apache-2.0
# cmake -DIN=file -DOUT=file.c -DNAME=event_schema -P embed.cmake: a file as bytes in C.
file(READ "${IN}" hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "((0x..,){24})" "\\1\n" bytes "${bytes}")
file(WRITE "${OUT}" "#include <stddef.h>
extern const unsigned char ${NAME}_bytes[];
extern const size_t ${NAME}_size;
const unsigned char ${NAME}_bytes[] = {\n${bytes}\n};
const size_t ${NAME}_size = sizeof ${NAME}_bytes;
")
