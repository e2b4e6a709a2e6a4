BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
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
	PRIMARY KEY (id), 
	UNIQUE (address)
);
INSERT INTO "devices" VALUES(8576,'e62485f692f4aec74754bdd1.0','0000:21:10.0','8086','10ca','type-VF',NULL,'0000:21:00.0','CUSTOM_PCI_8086_10CA','[]','{"managed": "false", "trusted": "false"}','available',NULL,NULL,NULL,'{"managed": "false", "driver": "igbvf_vfio_pci", "vfio_driver": "igbvf_vfio_pci", "iommu_group": "0"}',NULL);
INSERT INTO "devices" VALUES(8578,'e62485f692f4aec74754bdd1.3','0000:21:10.2','8086','10ca','type-VF',NULL,'0000:21:00.0','CUSTOM_PCI_8086_10CA','[]','{"managed": "false", "trusted": "false"}','available',NULL,NULL,NULL,'{"managed": "false", "driver": "igbvf_vfio_pci", "vfio_driver": "igbvf_vfio_pci", "iommu_group": "3"}',NULL);
INSERT INTO "devices" VALUES(8580,'e62485f692f4aec74754bdd1.4','0000:21:10.4','8086','10ca','type-VF',NULL,'0000:21:00.0','CUSTOM_PCI_8086_10CA','[]','{"managed": "false", "trusted": "true"}','allocated','11111111-1111-4111-8111-111111111111','ed3c1082-08b1-4150-85f5-77cfc34547da','vf','{"managed": "false", "driver": "igbvf_vfio_pci", "vfio_driver": "igbvf_vfio_pci", "iommu_group": "4"}','{"tags": {"managed": "false", "trusted": "false"}}');
INSERT INTO "devices" VALUES(8582,'e62485f692f4aec74754bdd1.5','0000:21:10.6','8086','10ca','type-VF',NULL,'0000:21:00.0','CUSTOM_PCI_8086_10CA','[]','{"managed": "false", "trusted": "true"}','allocated','11111111-1111-4111-8111-111111111111','ed3c1082-08b1-4150-85f5-77cfc34547da','vf','{"managed": "false", "driver": "igbvf_vfio_pci", "vfio_driver": "igbvf_vfio_pci", "iommu_group": "5"}','{"tags": {"managed": "false", "trusted": "false"}}');
CREATE TABLE generation (
	id INTEGER NOT NULL, 
	value BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "generation" VALUES(1,10);
CREATE TABLE meta (
	name VARCHAR(64) NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE providers (
	name VARCHAR(200) NOT NULL, 
	uuid VARCHAR(36) NOT NULL, 
	generation BIGINT, 
	fingerprint VARCHAR(255), 
	PRIMARY KEY (name), 
	UNIQUE (uuid)
);
INSERT INTO "providers" VALUES('compute-1','9308c277-7ba0-41e3-ad73-8d1fdd6ff642',0,'nova');
INSERT INTO "providers" VALUES('compute-1_0000:21:00.0','8a4a0a94-4bec-42f0-b320-fd2b8cf66f25',3,'66c29cb101015b7fd8274dc3295e8d629a04cda71398394066961af456e4a611');
CREATE TABLE quarantine (
	id INTEGER NOT NULL, 
	address VARCHAR(16) NOT NULL, 
	reason TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (address)
);
INSERT INTO "quarantine" VALUES(8578,'0000:21:10.2','it hung in an unbind');
CREATE INDEX ix_devices_instance_uuid ON devices (instance_uuid);
CREATE INDEX ix_devices_parent_addr ON devices (parent_addr);
COMMIT;
