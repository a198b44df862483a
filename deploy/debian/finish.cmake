# SPDX-License-Identifier: Apache-2.0
# Run by cpack on what it is about to pack: what Debian's policy wants of every package, and compressed manuals.
find_program(GZIP gzip REQUIRED)
set(names consumer polku-consumer producer polku-producer library ${CPACK_DEBIAN_LIBRARY_PACKAGE_NAME} development libpolku-producer-dev)
while(names)
  list(POP_FRONT names group package)
  set(root "${CPACK_TEMPORARY_DIRECTORY}/${group}")
  if(NOT IS_DIRECTORY "${root}")
    message(FATAL_ERROR "finish.cmake: ${root} is not there")
  endif()
  set(doc "${root}/usr/share/doc/${package}")
  file(MAKE_DIRECTORY "${doc}")
  file(COPY_FILE "${CMAKE_CURRENT_LIST_DIR}/copyright" "${doc}/copyright")
  file(WRITE "${doc}/changelog.Debian" "polku (${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}) unstable; urgency=medium

  * Version ${CPACK_PACKAGE_VERSION}; CHANGELOG.md of the sources tells what is new.

 -- ${CPACK_PACKAGE_CONTACT}  ${POLKU_PACKAGE_DATE}
")
  # Rules are part of the data: an upgrade may not change them, so they are no conffile. postinst makes them once.
  file(REMOVE "${root}/etc/polku/polku.yaml")
  file(GLOB manuals "${root}/usr/share/man/man*/*.[0-9]")
  execute_process(COMMAND "${GZIP}" -9n "${doc}/changelog.Debian" ${manuals} COMMAND_ERROR_IS_FATAL ANY)
  file(CHMOD "${doc}/copyright" "${doc}/changelog.Debian.gz" PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
endwhile()
