# SPDX-License-Identifier: Apache-2.0
# `cpack -G DEB` in the build folder: polku-consumer, polku-producer, libpolku-producer0, libpolku-producer-dev.
# Configure with -DCMAKE_INSTALL_PREFIX=/usr, so that units and manuals name the places of a package.
set(CPACK_PACKAGE_NAME polku)
set(CPACK_PACKAGE_VENDOR "Polku")
set(CPACK_PACKAGE_CONTACT "Polku maintainers <maintainers@polku.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_SET_DESTDIR ON) # settings go to /etc
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR DEB)

set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL consumer consumer-man consumer-completion systemd producer producer-man producer-completion library
    development)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(soname libpolku-producer${PROJECT_VERSION_MAJOR})
set(CPACK_DEBIAN_CONSUMER_PACKAGE_NAME polku-consumer)
set(CPACK_DEBIAN_CONSUMER_PACKAGE_SECTION database)
set(CPACK_DEBIAN_CONSUMER_PACKAGE_DEPENDS tzdata)
set(CPACK_DEBIAN_CONSUMER_PACKAGE_SUGGESTS "polku-producer, postgresql")
set(CPACK_DEBIAN_CONSUMER_PACKAGE_CONTROL_EXTRA "${PROJECT_SOURCE_DIR}/deploy/debian/conffiles;${PROJECT_SOURCE_DIR}/deploy/debian/postinst;${PROJECT_SOURCE_DIR}/deploy/debian/prerm;${PROJECT_SOURCE_DIR}/deploy/debian/postrm")
set(CPACK_DEBIAN_CONSUMER_DESCRIPTION "Reads customer-interaction events from Kafka, correlates them into
cross-channel journeys and a ledger of obligations, and keeps both in
PostgreSQL, exactly as a batch over the same events would.")
set(CPACK_DEBIAN_PRODUCER_PACKAGE_NAME polku-producer)
set(CPACK_DEBIAN_PRODUCER_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_PRODUCER_PACKAGE_DEPENDS tzdata)
set(CPACK_DEBIAN_PRODUCER_DESCRIPTION "Reads JSON Lines, or CSV by a mapping file, checks every event against the
contract and publishes it as Avro, idempotently. Simulates channel systems.")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME ${soname})
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA "${PROJECT_SOURCE_DIR}/deploy/debian/triggers")
set(CPACK_DEBIAN_LIBRARY_DESCRIPTION "Channel systems publish what happens to customers as it happens: checked,
encoded as Avro, delivered idempotently. This is the shared library.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libpolku-producer-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
    "${soname} (= ${PROJECT_VERSION}-1), librdkafka-dev, libjansson-dev, libavro-dev")
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "Header, archive, manual, pkg-config and CMake files of the library by which
channel systems publish customer-interaction events for Polku.")

# The date of the changelog: that of the commit if there is one, so that the same sources give the same package.
execute_process(COMMAND git -C "${PROJECT_SOURCE_DIR}" log -1 --format=%cD OUTPUT_VARIABLE date OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT date)
  string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
endif()
set(CPACK_PROJECT_CONFIG_FILE "${PROJECT_BINARY_DIR}/package-date.cmake")
file(WRITE "${CPACK_PROJECT_CONFIG_FILE}" "set(POLKU_PACKAGE_DATE \"${date}\")\n")
set(CPACK_PRE_BUILD_SCRIPTS "${PROJECT_SOURCE_DIR}/deploy/debian/finish.cmake")

include(CPack)
foreach(group consumer producer library development)
  cpack_add_component_group(${group})
endforeach()
foreach(component consumer consumer-man consumer-completion systemd)
  cpack_add_component(${component} GROUP consumer)
endforeach()
foreach(component producer producer-man producer-completion)
  cpack_add_component(${component} GROUP producer)
endforeach()
cpack_add_component(library GROUP library)
cpack_add_component(development GROUP development)
