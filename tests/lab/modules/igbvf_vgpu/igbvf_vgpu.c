// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver that gives the virtual functions of Intel 82576 (igb) types of
 * vGPU, as a vendor's driver does with those of its GPUs.
 *
 * Each VF on it has a folder "nvidia" in sysfs.  Nothing stands behind a type
 * but its name and a size.  tests/lab/README.rst says of each rule which public
 * fact it is made from; no hardware was tried.
 *
 * It has no alias: it takes VFs by their id, where no other driver does first,
 * and changes nothing in a guest that doesn't load it.
 */
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/sysfs.h>
#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>

#define IGBVF_DEVICE_ID 0x10ca

struct vgpu_type {
	unsigned int id;
	const char *name;
	unsigned int size;
};

/* Not in order of their ids, as the vendor's are not. */
static const struct vgpu_type types[] = {
	{ 1145, "NVIDIA LAB-1B", 1 },
	{ 2164, "NVIDIA LAB-2B", 2 },
	{ 1148, "NVIDIA LAB-2Q", 2 },
	{ 1150, "NVIDIA LAB-4Q", 4 },
};

/* A VF, from its first probe until it is removed. */
struct vgpu_vf {
	struct list_head list;
	struct pci_dev *pdev;
	struct pci_dev *pf;
	const struct vgpu_type *type;
	bool open;
	bool wedged;
	char params[128];
};

struct vgpu_device {
	struct vfio_pci_core_device core;
	struct vgpu_vf *vf;
};

static LIST_HEAD(vfs);
/* What one VF has decides what its siblings are offered. */
static DEFINE_MUTEX(lock);

static unsigned int framebuffer = 8;
module_param(framebuffer, uint, 0444);
MODULE_PARM_DESC(framebuffer, "what each card has to share out, in MiB");

static char *listing = "header";
module_param(listing, charp, 0444);
MODULE_PARM_DESC(listing, "header, headerless or rfc");

static char *errors = "posted";
module_param(errors, charp, 0444);
MODULE_PARM_DESC(errors, "posted or published");

static bool mig;
module_param(mig, bool, 0644);
MODULE_PARM_DESC(mig, "MIG is on, without a GPU instance");

static bool heterogeneous;

static bool is_rfc(void)
{
	return !strcmp(listing, "rfc");
}

static int heterogeneous_set(const char *val, const struct kernel_param *kp)
{
	struct vgpu_vf *vf;
	bool flag;
	int ret = kstrtobool(val, &flag);

	if (ret)
		return ret;
	mutex_lock(&lock);
	list_for_each_entry(vf, &vfs, list)
		if (vf->type)
			ret = -EBUSY;
	if (!ret)
		heterogeneous = flag;
	mutex_unlock(&lock);
	return ret;
}

static const struct kernel_param_ops heterogeneous_ops = {
	.set = heterogeneous_set,
	.get = param_get_bool,
};
module_param_cb(heterogeneous, &heterogeneous_ops, &heterogeneous, 0644);
MODULE_PARM_DESC(heterogeneous, "several sizes may stand side by side");

/* The first type of a card; NULL if it has no vGPU.  Any tells their size. */
static const struct vgpu_type *first_type(struct pci_dev *pf)
{
	struct vgpu_vf *vf;

	list_for_each_entry(vf, &vfs, list)
		if (vf->pf == pf && vf->type)
			return vf->type;
	return NULL;
}

static bool suits(struct pci_dev *pf, const struct vgpu_type *type)
{
	const struct vgpu_type *first = first_type(pf);

	if (heterogeneous || !first)
		return true;
	return is_rfc() ? type == first : type->size == first->size;
}

static bool fits(struct pci_dev *pf, const struct vgpu_type *type)
{
	unsigned int used = type->size;
	struct vgpu_vf *vf;

	list_for_each_entry(vf, &vfs, list)
		if (vf->pf == pf && vf->type)
			used += vf->type->size;
	return used <= framebuffer;
}

static struct vgpu_vf *vf_of(struct device *dev)
{
	struct vfio_pci_core_device *core = dev_get_drvdata(dev);

	return container_of(core, struct vgpu_device, core)->vf;
}

static ssize_t creatable_vgpu_types_show(struct device *dev,
					 struct device_attribute *attr,
					 char *buf)
{
	bool headerless = !strcmp(listing, "headerless");
	struct vgpu_vf *vf = vf_of(dev);
	ssize_t at = 0;
	int i;

	mutex_lock(&lock);
	if (is_rfc() && vf->type)
		goto out;
	if (!headerless && !(is_rfc() && first_type(vf->pf)))
		at = sysfs_emit(buf, "ID    : vGPU Name\n");
	for (i = 0; i < ARRAY_SIZE(types); i++)
		if (!mig && suits(vf->pf, &types[i]) && fits(vf->pf, &types[i]))
			at += sysfs_emit_at(buf, at, "%-*u : %s\n",
					    headerless ? 0 : 5, types[i].id,
					    types[i].name);
out:
	mutex_unlock(&lock);
	return at;
}
static DEVICE_ATTR_RO(creatable_vgpu_types);

static ssize_t current_vgpu_type_show(struct device *dev,
				      struct device_attribute *attr, char *buf)
{
	ssize_t ret;

	mutex_lock(&lock);
	ret = sysfs_emit(buf, "%u\n",
			 vf_of(dev)->type ? vf_of(dev)->type->id : 0);
	mutex_unlock(&lock);
	return ret;
}

static const struct vgpu_type *type_of(long id)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].id == id)
			return &types[i];
	return NULL;
}

static int set_type_published(struct vgpu_vf *vf, const char *buf)
{
	const struct vgpu_type *type;
	long id;
	int ret = kstrtol(buf, 10, &id);

	if (ret)
		return ret;
	if (!id == !vf->type || vf->open)
		return -EPERM;
	type = type_of(id);
	if (id && (!type || mig || !suits(vf->pf, type) || !fits(vf->pf, type)))
		return -EIO;
	vf->type = type;
	return 0;
}

static int set_type(struct vgpu_vf *vf, const char *buf)
{
	const struct vgpu_type *type;
	unsigned int id;
	int ret = kstrtouint(buf, 10, &id);

	if (ret)
		return ret;
	if (vf->open)
		return -EBUSY;
	type = type_of(id);
	if (!id || (type && type == vf->type)) {
		vf->type = type;
		return 0;
	}
	if (!type)
		return -ENODEV;
	if (mig)
		return -EIO;
	if (vf->type || !suits(vf->pf, type))
		return -EINVAL;
	if (!fits(vf->pf, type))
		return -ENOSPC;
	vf->type = type;
	return 0;
}

static ssize_t current_vgpu_type_store(struct device *dev,
				       struct device_attribute *attr,
				       const char *buf, size_t count)
{
	int ret;

	mutex_lock(&lock);
	if (strcmp(errors, "published"))
		ret = set_type(vf_of(dev), buf);
	else
		ret = set_type_published(vf_of(dev), buf);
	mutex_unlock(&lock);
	return ret ?: count;
}
static DEVICE_ATTR_RW(current_vgpu_type);

/* What the driver fills in, once there is a vGPU. */
static ssize_t filled_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	ssize_t ret = -ENXIO;

	mutex_lock(&lock);
	if (vf_of(dev)->type)
		ret = sysfs_emit(buf, "0\n");
	mutex_unlock(&lock);
	return ret;
}

static ssize_t refused_store(struct device *dev, struct device_attribute *attr,
			     const char *buf, size_t count)
{
	return -EACCES;
}
static DEVICE_ATTR(gpu_instance_id, 0644, filled_show, refused_store);
static DEVICE_ATTR(placement_id, 0644, filled_show, refused_store);

static ssize_t warm_update_show(struct device *dev,
				struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "0\n");
}
static DEVICE_ATTR(warm_update, 0644, warm_update_show, refused_store);

static ssize_t vgpu_params_show(struct device *dev,
				struct device_attribute *attr, char *buf)
{
	ssize_t ret;

	mutex_lock(&lock);
	ret = sysfs_emit(buf, "%s\n", vf_of(dev)->params);
	mutex_unlock(&lock);
	return ret;
}

static ssize_t vgpu_params_store(struct device *dev,
				 struct device_attribute *attr,
				 const char *buf, size_t count)
{
	char text[sizeof_field(struct vgpu_vf, params)];

	if (strscpy(text, buf, sizeof(text)) < 0)
		return -EINVAL;
	mutex_lock(&lock);
	strscpy(vf_of(dev)->params, strim(text), sizeof(text));
	mutex_unlock(&lock);
	return count;
}
static DEVICE_ATTR_RW(vgpu_params);

static struct attribute *vgpu_attrs[] = {
	&dev_attr_creatable_vgpu_types.attr,
	&dev_attr_current_vgpu_type.attr,
	&dev_attr_gpu_instance_id.attr,
	&dev_attr_placement_id.attr,
	&dev_attr_vgpu_params.attr,
	&dev_attr_warm_update.attr,
	NULL,
};

static const struct attribute_group vgpu_group = {
	.name = "nvidia",
	.attrs = vgpu_attrs,
};
/* The driver core adds it after probe() and takes it away before remove(). */
__ATTRIBUTE_GROUPS(vgpu);

static int vgpu_open(struct vfio_device *core_vdev)
{
	struct vgpu_device *device =
		container_of(core_vdev, struct vgpu_device, core.vdev);
	struct vgpu_vf *vf = device->vf;
	int ret = -ENODEV;

	mutex_lock(&lock);
	if (vf->type && !vf->wedged)
		ret = vfio_pci_core_enable(&device->core);
	if (!ret)
		vf->open = true;
	mutex_unlock(&lock);
	if (!ret)
		vfio_pci_core_finish_enable(&device->core);
	return ret;
}

static void vgpu_close(struct vfio_device *core_vdev)
{
	struct vgpu_device *device =
		container_of(core_vdev, struct vgpu_device, core.vdev);

	vfio_pci_core_close_device(core_vdev);
	mutex_lock(&lock);
	device->vf->open = false;
	mutex_unlock(&lock);
}

static const struct vfio_device_ops vgpu_ops = {
	.name = KBUILD_MODNAME,
	.init = vfio_pci_core_init_dev,
	.release = vfio_pci_core_release_dev,
	.open_device = vgpu_open,
	.close_device = vgpu_close,
	.ioctl = vfio_pci_core_ioctl,
	.device_feature = vfio_pci_core_ioctl_feature,
	.read = vfio_pci_core_read,
	.write = vfio_pci_core_write,
	.mmap = vfio_pci_core_mmap,
	.request = vfio_pci_core_request,
	.match = vfio_pci_core_match,
	.bind_iommufd = vfio_iommufd_physical_bind,
	.unbind_iommufd = vfio_iommufd_physical_unbind,
	.attach_ioas = vfio_iommufd_physical_attach_ioas,
	.detach_ioas = vfio_iommufd_physical_detach_ioas,
};

/* Of all that there is for a VF, or for a card if pdev is NULL. */
static struct vgpu_vf *known(struct pci_dev *pdev, struct pci_dev *pf)
{
	struct vgpu_vf *vf;

	list_for_each_entry(vf, &vfs, list)
		if (pdev ? vf->pdev == pdev : vf->pf == pf)
			return vf;
	return NULL;
}

static struct vgpu_vf *meet(struct pci_dev *pdev)
{
	struct vgpu_vf *vf;

	mutex_lock(&lock);
	vf = known(pdev, NULL);
	if (!vf) {
		vf = kzalloc(sizeof(*vf), GFP_KERNEL);
		if (vf) {
			vf->pdev = pdev;
			vf->pf = pci_physfn(pdev);
			/* VFs that were made begin with one size. */
			if (!known(NULL, vf->pf))
				heterogeneous = false;
			list_add_tail(&vf->list, &vfs);
		}
	}
	mutex_unlock(&lock);
	return vf;
}

static int vgpu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct vgpu_device *device;
	int ret;

	if (!pdev->is_virtfn)
		return -ENODEV;
	device = vfio_alloc_device(vgpu_device, core.vdev, &pdev->dev,
				   &vgpu_ops);
	if (IS_ERR(device))
		return PTR_ERR(device);
	device->vf = meet(pdev);
	/* vfio-pci-core finds its device through the driver data. */
	dev_set_drvdata(&pdev->dev, &device->core);
	ret = device->vf ? vfio_pci_core_register_device(&device->core) :
			   -ENOMEM;
	if (ret)
		vfio_put_device(&device->core.vdev);
	return ret;
}

static void vgpu_remove(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *core = dev_get_drvdata(&pdev->dev);
	struct vgpu_vf *vf = vf_of(&pdev->dev);

	/* Waits for whoever has it open. */
	vfio_pci_core_unregister_device(core);
	mutex_lock(&lock);
	vf->type = NULL;
	vf->wedged = true;
	vf->params[0] = '\0';
	mutex_unlock(&lock);
	vfio_put_device(&core->vdev);
}

static const struct pci_device_id vgpu_ids[] = {
	{ PCI_VDEVICE(INTEL, IGBVF_DEVICE_ID) },
	{}
};

static struct pci_driver vgpu_driver = {
	.name = KBUILD_MODNAME,
	.id_table = vgpu_ids,
	.probe = vgpu_probe,
	.remove = vgpu_remove,
	.dev_groups = vgpu_groups,
	.err_handler = &vfio_pci_core_err_handlers,
	.driver_managed_dma = true,
};

static void forget(struct vgpu_vf *vf)
{
	list_del(&vf->list);
	kfree(vf);
}

/* A VF that is removed is forgotten, wedged or not. */
static int vgpu_notify(struct notifier_block *block, unsigned long action,
		       void *data)
{
	struct vgpu_vf *vf;

	if (action != BUS_NOTIFY_REMOVED_DEVICE)
		return NOTIFY_DONE;
	mutex_lock(&lock);
	vf = known(to_pci_dev(data), NULL);
	if (vf)
		forget(vf);
	mutex_unlock(&lock);
	return NOTIFY_OK;
}

static struct notifier_block vgpu_block = { .notifier_call = vgpu_notify };

static int __init vgpu_init(void)
{
	int ret = bus_register_notifier(&pci_bus_type, &vgpu_block);

	if (ret)
		return ret;
	ret = pci_register_driver(&vgpu_driver);
	if (ret)
		bus_unregister_notifier(&pci_bus_type, &vgpu_block);
	return ret;
}
module_init(vgpu_init);

static void __exit vgpu_exit(void)
{
	struct vgpu_vf *vf, *next;

	pci_unregister_driver(&vgpu_driver);
	bus_unregister_notifier(&pci_bus_type, &vgpu_block);
	list_for_each_entry_safe(vf, next, &vfs, list)
		forget(vf);
}
module_exit(vgpu_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("vGPU types for Intel 82576 virtual functions");
