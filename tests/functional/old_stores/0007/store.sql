BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0007');
CREATE TABLE allowances (
	address VARCHAR(16) NOT NULL, 
	code VARCHAR(16) NOT NULL, 
	reason TEXT NOT NULL, 
	identity TEXT NOT NULL, 
	since VARCHAR(32) NOT NULL, 
	PRIMARY KEY (address, code)
);
CREATE TABLE claims (
	instance_uuid VARCHAR(36) NOT NULL, 
	assignment VARCHAR(36) NOT NULL, 
	state VARCHAR(9) NOT NULL, 
	asked TEXT, 
	since VARCHAR(32) NOT NULL, 
	PRIMARY KEY (instance_uuid)
);
INSERT INTO "claims" VALUES('11111111-1111-4111-8111-111111111111','54b96c87-cc37-4810-b804-7a4fc1f8f371','prepared','{"counts": [["vf", 2]], "numa_policy": ["legacy"]}','2026-11-28T02:14:19+00:00');
CREATE TABLE cordons (
	address VARCHAR(16) NOT NULL, 
	reason TEXT NOT NULL, 
	identity TEXT NOT NULL, 
	since VARCHAR(32) NOT NULL, 
	PRIMARY KEY (address)
);
CREATE TABLE devices (
	id INTEGER NOT NULL, 
	mark VARCHAR(64) NOT NULL, 
	address VARCHAR(16) NOT NULL, 
	vendor_id VARCHAR(4) NOT NULL, 
	product_id VARCHAR(4) NOT NULL, 
	dev_type VARCHAR(8) NOT NULL, 
	numa_node INTEGER, 
	parent_addr VARCHAR(16), 
	resource_class VARCHAR(255) NOT NULL, 
	traits TEXT NOT NULL, 
	tags TEXT NOT NULL, 
	status VARCHAR(11) NOT NULL, 
	instance_uuid VARCHAR(36), 
	request_id VARCHAR(36), 
	alias_name VARCHAR(256), 
	extra_info TEXT NOT NULL, 
	pending TEXT, 
	identity TEXT, 
	PRIMARY KEY (id), 
	UNIQUE (address)
);
INSERT INTO "devices" VALUES(8576,'377dc8d6b6702014d16814bb.0.0','0000:21:10.0','8086','10ca','type-VF',NULL,'0000:21:00.0','CUSTOM_PCI_8086_10CA','[]','{"managed": "false", "trusted": "false"}','available',NULL,NULL,NULL,'{"managed": "false", "driver": "igbvf_vfio_pci", "vfio_driver": "igbvf_vfio_pci", "iommu_group": "0"}',NULL,'{"vendor_id": "8086", "product_id": "10ca", "subsystem": "0000:0000", "physfn": "0000:21:00.0", "vf_index": 0}');
INSERT INTO "devices" VALUES(8578,'377dc8d6b6702014d16814bb.3.1','0000:21:10.2','8086','10ca','type-VF',NULL,'0000:21:00.0','CUSTOM_PCI_8086_10CA','[]','{"managed": "false", "trusted": "false"}','available',NULL,NULL,NULL,'{"managed": "false", "driver": "igbvf_vfio_pci", "vfio_driver": "igbvf_vfio_pci", "iommu_group": "3"}',NULL,'{"vendor_id": "8086", "product_id": "10ca", "subsystem": "0000:0000", "physfn": "0000:21:00.0", "vf_index": 1}');
INSERT INTO "devices" VALUES(8580,'377dc8d6b6702014d16814bb.4.2','0000:21:10.4','8086','10ca','type-VF',NULL,'0000:21:00.0','CUSTOM_PCI_8086_10CA','[]','{"managed": "false", "trusted": "true"}','allocated','11111111-1111-4111-8111-111111111111','b0c4c3d2-a7b1-4a83-b6ee-a66e625f40bf','vf','{"managed": "false", "driver": "igbvf_vfio_pci", "vfio_driver": "igbvf_vfio_pci", "iommu_group": "4"}','{"tags": {"managed": "false", "trusted": "false"}}','{"vendor_id": "8086", "product_id": "10ca", "subsystem": "0000:0000", "physfn": "0000:21:00.0", "vf_index": 2}');
INSERT INTO "devices" VALUES(8582,'377dc8d6b6702014d16814bb.5.3','0000:21:10.6','8086','10ca','type-VF',NULL,'0000:21:00.0','CUSTOM_PCI_8086_10CA','[]','{"managed": "false", "trusted": "true"}','allocated','11111111-1111-4111-8111-111111111111','b0c4c3d2-a7b1-4a83-b6ee-a66e625f40bf','vf','{"managed": "false", "driver": "igbvf_vfio_pci", "vfio_driver": "igbvf_vfio_pci", "iommu_group": "5"}','{"tags": {"managed": "false", "trusted": "false"}}','{"vendor_id": "8086", "product_id": "10ca", "subsystem": "0000:0000", "physfn": "0000:21:00.0", "vf_index": 3}');
CREATE TABLE generation (
	id INTEGER NOT NULL, 
	value BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "generation" VALUES(1,10);
CREATE TABLE mdevs (
	uuid VARCHAR(36) NOT NULL, 
	kind VARCHAR(511) NOT NULL, 
	instance_uuid VARCHAR(36), 
	assignment VARCHAR(36) NOT NULL, 
	since VARCHAR(32) NOT NULL, 
	attributes TEXT NOT NULL, 
	identity TEXT, 
	PRIMARY KEY (uuid)
);
CREATE TABLE meta (
	name VARCHAR(64) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE names (
	id VARCHAR(36) NOT NULL, 
	address VARCHAR(16) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	identity TEXT NOT NULL, 
	since VARCHAR(32) NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (address), 
	UNIQUE (name)
);
CREATE TABLE providers (
	name VARCHAR(200) NOT NULL, 
	uuid VARCHAR(36) NOT NULL, 
	generation BIGINT, 
	fingerprint VARCHAR(255), 
	PRIMARY KEY (name), 
	UNIQUE (uuid)
);
INSERT INTO "providers" VALUES('compute-1','d5b49fb3-0bbc-4a81-9873-b99043f74140',0,'nova');
INSERT INTO "providers" VALUES('compute-1_0000:21:00.0','bc9a37a3-18c9-4cbf-ad53-c6b323ac3e7f',3,'66c29cb101015b7fd8274dc3295e8d629a04cda71398394066961af456e4a611');
CREATE TABLE quarantine (
	id INTEGER NOT NULL, 
	address VARCHAR(16) NOT NULL, 
	reason TEXT NOT NULL, 
	boot VARCHAR(36) DEFAULT '' NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (address)
);
INSERT INTO "quarantine" VALUES(8578,'0000:21:10.2','it hung in an unbind','fake-boot');
CREATE TABLE reserved (
	provider VARCHAR(200) NOT NULL, 
	resource_class VARCHAR(255) NOT NULL, 
	units INTEGER NOT NULL, 
	intended INTEGER, 
	generation BIGINT, 
	"before" INTEGER, 
	"after" INTEGER, 
	PRIMARY KEY (provider, resource_class)
);
CREATE TABLE vgpu_reports (
	address VARCHAR(16) NOT NULL, 
	assignment VARCHAR(64) NOT NULL, 
	instance_uuid VARCHAR(36), 
	ok BOOLEAN NOT NULL, 
	at VARCHAR(32) NOT NULL, 
	identity TEXT, 
	PRIMARY KEY (address, assignment)
);
CREATE TABLE vgpu_types (
	card VARCHAR(16) NOT NULL, 
	type_id VARCHAR(16) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	framebuffer_mib INTEGER, 
	identity TEXT NOT NULL, 
	PRIMARY KEY (card, type_id)
);
CREATE TABLE vgpus (
	address VARCHAR(16) NOT NULL, 
	type_id VARCHAR(16) NOT NULL, 
	origin VARCHAR(8) NOT NULL, 
	instance_uuid VARCHAR(36), 
	assignment VARCHAR(36) NOT NULL, 
	since VARCHAR(32) NOT NULL, 
	identity TEXT NOT NULL, 
	PRIMARY KEY (address)
);
CREATE INDEX ix_devices_instance_uuid ON devices (instance_uuid);
CREATE INDEX ix_devices_parent_addr ON devices (parent_addr);
CREATE INDEX ix_vgpus_instance_uuid ON vgpus (instance_uuid);
CREATE INDEX ix_mdevs_instance_uuid ON mdevs (instance_uuid);
COMMIT;
