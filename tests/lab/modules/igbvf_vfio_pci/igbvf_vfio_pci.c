// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VFIO variant driver for the virtual functions of Intel 82576 (igb).
 *
 * It adds nothing to what vfio-pci-core does.  What it is for is its name
 * and its alias: it makes a VF on a variant driver a real thing in the lab,
 * with a vfio_pci: line in modules.alias, a driver that is not vfio-pci and
 * a vfio-dev folder below the function.  Like every variant driver it takes
 * a function only if driver_override names it.
 */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>

#define IGBVF_DEVICE_ID 0x10ca

static int igbvf_vfio_open(struct vfio_device *core_vdev)
{
	struct vfio_pci_core_device *vdev =
		container_of(core_vdev, struct vfio_pci_core_device, vdev);
	int ret = vfio_pci_core_enable(vdev);

	if (!ret)
		vfio_pci_core_finish_enable(vdev);
	return ret;
}

static const struct vfio_device_ops igbvf_vfio_ops = {
	.name = KBUILD_MODNAME,
	.init = vfio_pci_core_init_dev,
	.release = vfio_pci_core_release_dev,
	.open_device = igbvf_vfio_open,
	.close_device = vfio_pci_core_close_device,
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

static int igbvf_vfio_probe(struct pci_dev *pdev,
			    const struct pci_device_id *id)
{
	struct vfio_pci_core_device *vdev;
	int ret;

	vdev = vfio_alloc_device(vfio_pci_core_device, vdev, &pdev->dev,
				 &igbvf_vfio_ops);
	if (IS_ERR(vdev))
		return PTR_ERR(vdev);

	/* vfio-pci-core finds its device through the driver data. */
	dev_set_drvdata(&pdev->dev, vdev);
	ret = vfio_pci_core_register_device(vdev);
	if (ret)
		vfio_put_device(&vdev->vdev);
	return ret;
}

static void igbvf_vfio_remove(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *vdev = dev_get_drvdata(&pdev->dev);

	vfio_pci_core_unregister_device(vdev);
	vfio_put_device(&vdev->vdev);
}

static const struct pci_device_id igbvf_vfio_ids[] = {
	{ PCI_DRIVER_OVERRIDE_DEVICE_VFIO(PCI_VENDOR_ID_INTEL,
					  IGBVF_DEVICE_ID) },
	{}
};
MODULE_DEVICE_TABLE(pci, igbvf_vfio_ids);

static struct pci_driver igbvf_vfio_driver = {
	.name = KBUILD_MODNAME,
	.id_table = igbvf_vfio_ids,
	.probe = igbvf_vfio_probe,
	.remove = igbvf_vfio_remove,
	.err_handler = &vfio_pci_core_err_handlers,
	.driver_managed_dma = true,
};
module_pci_driver(igbvf_vfio_driver);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("VFIO variant driver for Intel 82576 virtual functions");
